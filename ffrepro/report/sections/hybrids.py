"""Hybrid images, the negative data of unsupervised nets."""

from ffrepro.report.blocks import Section, figures
from ffrepro.report.compare import TableResult
from ffrepro.report.images import kept_images, png

_NOTE = "Negative data without labels, as in the paper's Figure 1: one image inside a mask, another outside it."


def section(table: TableResult) -> Section | None:
    pictures = (
        png(
            f"{table.spec.name}-{row.spec.name}-hybrids",
            images,
            group,
            title=row.spec.label,
            caption="Made from the first test images",
            alt=f"{len(images)} hybrid images, each of two digits with a mask between them, {row.spec.label}.",
        )
        for row, group, run in table.pictured
        if (images := kept_images(run, "hybrid_images")) is not None
    )
    return figures("Hybrid images", "hybrids", pictures, _NOTE)
