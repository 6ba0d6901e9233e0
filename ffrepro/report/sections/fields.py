"""The weights of first-layer units as images."""

from ffrepro.report.blocks import Section, figures
from ffrepro.report.compare import TableResult
from ffrepro.report.images import contrasted, kept_images, png

_NOTE = (
    "The weights of the first units of the first hidden layer. {} Gray is 0, black negative, white positive; the "
    "largest fiftieth of each field's weights are full black or white. {}"
)
_OF_TEXT = _NOTE.format(
    "There is a row for each character of the window, the last at the bottom, and a column for each symbol: a to z, "
    "space, comma, semicolon, full stop.",
    "",
).strip()
_OF_IMAGES = _NOTE.format(
    "Figure 2 of the Forward-Forward paper shows such weights. Color images have three, one for each color.",
    "Supervised Forward-Forward nets have their label in the first pixels of the top row. In a net with local "
    "receptive fields, each field is what a unit sees: the first units of every location, or of some locations.",
)


def section(table: TableResult) -> Section | None:
    pictures = (
        png(
            f"{table.spec.name}-{row.spec.name}-fields",
            contrasted(fields),
            group,
            title=row.spec.label,
            caption=f"Seed {run.record.seed}",
            alt=f"Weights of {len(fields)} units of the first hidden layer as images, {row.spec.label}.",
        )
        for row, group, run in table.pictured
        if (fields := kept_images(run, "first_layer_fields")) is not None
    )
    of_text = any(name.startswith("text_") for _, _, run in table.pictured for name in run.pictures)
    return figures("First-layer fields", "fields", pictures, _OF_TEXT if of_text else _OF_IMAGES)
