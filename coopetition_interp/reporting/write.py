"""Write a plotly figure: a page that works offline, and a PNG where a browser can draw it."""

from __future__ import annotations

from pathlib import Path

import kaleido
import plotly.graph_objects as go
from choreographer.errors import BrowserFailedError, ChromeNotFoundError

from coopetition_interp.files.atomic_file import atomic_file


def write_figure(
    figure: go.Figure, stem: Path, width: int = 900, height: int = 500, scale: float = 2.0
) -> list[Path]:
    """Write ``stem.html`` and, if a browser is found, ``stem.png``.

    The page holds plotly.js itself, so it needs no network. The PNG is drawn by kaleido through an
    installed Chrome or Chromium: the one that the environment variable BROWSER_PATH names, or the
    first found. Without one, a line says how to get it. Both files are written whole or not at all.

    Args:
        figure: What to write.
        stem: Path without a suffix; missing folders are made.
        width: Of the PNG, in CSS pixels; the page fills its window.
        height: Of both, in CSS pixels, unless the figure's layout sets its own.
        scale: Pixels of the PNG per CSS pixel.

    Returns:
        The files written, the page first.

    Raises:
        OSError: No space or no permission.
    """
    height = figure.layout.height or height
    # Appended, not with_suffix(): that would cut "temperature_0.5" at its dot.
    page = stem.parent / f"{stem.name}.html"
    with atomic_file(page) as temporary:
        temporary.write_text(
            figure.to_html(
                include_plotlyjs=True,
                full_html=True,
                default_height=f"{height}px",
                auto_play=False,  # frames are for who presses play
            ),
            encoding="utf-8",
        )
    options = {
        "format": "png",
        "width": figure.layout.width or width,
        "height": height,
        "scale": scale,
    }
    try:
        # No formulas in the figures: without this, kaleido's page would ask a CDN for MathJax.
        png = kaleido.calc_fig_sync(figure, opts=options, kopts={"mathjax": False})
    except (ChromeNotFoundError, BrowserFailedError) as error:
        reason = "found no Chrome" if isinstance(error, ChromeNotFoundError) else "Chrome failed"
        print(
            f"{page}: no PNG beside it, {reason}; install Chromium (for example `apt-get install "
            "chromium`), run `plotly_get_chrome`, or set BROWSER_PATH to one"
        )
        return [page]
    image = stem.parent / f"{stem.name}.png"
    with atomic_file(image) as temporary:
        temporary.write_bytes(png)
    return [page, image]
