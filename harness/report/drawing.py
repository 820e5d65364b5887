"""Plots as SVG text, drawn by matplotlib; imported only where a page is written."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import os
import re
from collections.abc import Callable
from typing import Any

from harness.errors import InputError, MachineError
from harness.files import cache_dir

__all__ = ["FAULT", "MADE", "MEANT", "QUIET", "TIE", "check_library", "drawn"]

MADE, MEANT, FAULT, TIE, QUIET = "#1f6fb4", "#8a8f98", "#c62828", "#b26a00", "#d0d4da"
"""Colours: the program, eager, what is wrong, what is near, and lines in the background."""

_STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and is a tenth of the size
    "svg.hashsalt": "voxtral-parity",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8f98",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#eceef1",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "path.simplify_threshold": 0.5,
}

_INCH = 96.0
"""CSS pixels of one inch; an SVG of matplotlib has 72 points."""


def check_library() -> None:
    """Refuse, by an `InputError`, to draw where matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError(
            "a page needs matplotlib for its plots, which is not installed: "
            "`python -m pip install matplotlib`, or leave --report out and take --json"
        )


def drawn(
    name: str, text: str, size: tuple[float, float], draw: Callable[[Any], None], rows: int = 1
) -> str:
    """An SVG element.

    Parameters
    ----------
    name
        By which its parts are told from other plots' on the page: letters, digits and dashes.
    text
        What it shows, for who does not see it.
    size
        Width and height in CSS pixels.
    draw
        Draws on a matplotlib figure.
    rows
        Rows of axes, for the space between them.
    """
    check_library()
    with contextlib.suppress(InputError):  # matplotlib then takes a temporary directory
        os.environ.setdefault("MPLCONFIGDIR", str(cache_dir() / "matplotlib"))
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    out = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(size[0] / _INCH, size[1] / _INCH), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        try:
            figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        except OSError as error:
            raise MachineError(f"a plot could not be drawn: {error}") from None
    return _embedded(out.getvalue(), name, text, size)


def _embedded(svg: str, name: str, text: str, size: tuple[float, float]) -> str:
    """The element alone, of a fixed size, with names that no other plot has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    label = text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    width, height = (math.ceil(pixels) for pixels in size)
    head = re.sub(r'\b(width|height)="[^"]*"', "", svg[: svg.index(">")])
    head += f' width="{width}" height="{height}" role="img" aria-label="{label}"'
    return head + svg[svg.index(">") :]
