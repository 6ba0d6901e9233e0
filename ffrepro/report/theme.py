"""The look of figures: each has a light and a dark theme, and the same numbers give the same bytes."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from ffrepro.report.blocks import Picture


@dataclass(frozen=True)
class Theme:
    """Colors; dashes and markers tell `lines` apart as well."""

    surface: str
    ink: str
    quiet: str
    band: str
    lines: tuple[str, ...]

    @property
    def colors(self) -> tuple[str, ...]:
        return (self.surface, self.ink, self.quiet, self.band, *self.lines)


# The surfaces are those of the pages: `templates/style.css` has the same two.
LIGHT = Theme(
    "#ffffff", "#1c2026", "#6a717c", "#e3ecf7",
    ("#1f5fa8", "#b3500b", "#1b7f4b", "#8a3fa8", "#b3204d", "#0a7f8c", "#77690a", "#6b4a35"),
)  # fmt: skip
DARK = Theme(
    "#13171c", "#e4e7eb", "#98a1ad", "#22344a",
    ("#7db4f0", "#f0a367", "#6fcf97", "#cf9bea", "#f590a8", "#63ccd8", "#d3c25a", "#c9a48c"),
)  # fmt: skip
DASHES = ("-", "--", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same letters
    "font.size": 9, "axes.titlesize": 8, "axes.titlelocation": "left", "axes.linewidth": 0.7,
    "axes.spines.top": False, "axes.spines.right": False, "grid.alpha": 0.22, "grid.linewidth": 0.5,
    "legend.fontsize": 8, "legend.frameon": False, "svg.fonttype": "path", "svg.hashsalt": "ffrepro",
    **dict.fromkeys(("axes.facecolor", "figure.facecolor"), LIGHT.surface),
    **dict.fromkeys(("text.color", "legend.labelcolor"), LIGHT.ink),
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"), LIGHT.quiet),
}  # fmt: skip
_WIDTH = 4.6  # inches of 96 CSS pixels: a phone, at 358 pixels, shows letters at four fifths of their size


def drawing(name: str, paint: Callable[[Figure], None], height: float, **words: str) -> Picture:
    """A drawing by `paint`, in light colors, `height` inches high; `words` are the title, caption and alt."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        paint(figure)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    light = file.getvalue().decode()
    # Drawing takes long, replacing colors does not.
    dark_of = dict(zip(LIGHT.colors, DARK.colors, strict=True))
    dark = re.sub("|".join(dark_of), lambda color: dark_of[color[0]], light)
    files = {f"{name}.svg": light.encode(), f"{name}-dark.svg": dark.encode()}
    # Figures are shown at the size they were drawn for, so that their letters fit the text's.
    width_px, height_px = (
        round(float(light.split(f'{side}="', 1)[1].split("pt", 1)[0]) * 4 / 3) for side in ("width", "height")
    )
    return Picture(f"{name}.svg", files, width=width_px, height=height_px, **words)
