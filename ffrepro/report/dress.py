"""How figures look: each in a light and a dark dress; the same numbers give the same bytes."""

import io
import re
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Dress:
    """Colours; a pair of lines differs in its weight or dashes as well."""

    surface: str
    ink: str
    quiet: str
    first: str
    second: str
    band: str


# The surfaces are those of the pages: `templates/style.css` has the same two.
DRESSES = {
    "light": Dress("#ffffff", "#1c2026", "#6a717c", "#1f5fa8", "#b3500b", "#e3ecf7"),
    "dark": Dress("#13171c", "#e4e7eb", "#98a1ad", "#7db4f0", "#f0a367", "#22344a"),
}
_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same letters
    "font.size": 9,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "ffrepro",
}
WIDTH = 4.6  # inches of 96 CSS pixels: a phone, at 358 pixels, shows letters at four fifths of their size


def themed(paint: Callable[[Figure, Dress], None], width: float, height: float) -> dict[str, bytes]:
    """What `paint` draws as SVG, by the name of its dress; `width` and `height` in inches."""
    light, dark = DRESSES["light"], DRESSES["dark"]
    with mpl.rc_context(_settings(light)):
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure, light)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    drawn = file.getvalue().decode()
    # Drawing takes long, changing clothes does not.
    change = dict(zip(astuple(light), astuple(dark), strict=True))
    worn = re.compile("|".join(change))
    return {"light": drawn.encode(), "dark": worn.sub(lambda colour: change[colour[0]], drawn).encode()}


def _settings(dress: Dress) -> Any:
    quiet = dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color", "axes.labelcolor"), dress.quiet)
    surface = dict.fromkeys(("axes.facecolor", "figure.facecolor"), dress.surface)
    return {**_SETTINGS, **quiet, **surface, "text.color": dress.ink}
