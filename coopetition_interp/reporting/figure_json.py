"""A figure as a page takes it: in the page's width and look, and small."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

from coopetition_interp.reporting.style import TEMPLATE

MOST_POINTS = 400
"""Points of a line: of a longer one every second, third... is kept."""

DEFAULT_HEIGHT = 460
_ABOVE_BELOW = 124  # pixels of margins
_LEAST, _PER_COLUMN, _BESIDE = 300, 250, 80
_LETTER = 0.52  # width of a letter, of the size of the font
_LONG = 40
_WITH_TITLE, _MOST_BY_GAP = 85, 1_100


def page_figure(figure: go.Figure) -> go.Figure:
    """The figure without a title or a width of its own, in the page's look.

    The legend, unless the figure places it, lies below, where a narrow screen has room for it.
    """
    fluid = go.Figure(figure)
    height = int(fluid.layout.height or DEFAULT_HEIGHT)
    fluid.update_layout(
        template=TEMPLATE, width=None, autosize=True, title=None, height=height, margin_t=64
    )
    if fluid.layout.legend.y is None:
        below = -64 / max(height - _ABOVE_BELOW, 100)
        fluid.update_layout(legend={"orientation": "h", "x": 0, "y": below, "yanchor": "top"})
    fluid.update_xaxes(title_font_size=13)
    fluid.update_yaxes(title_font_size=13)
    size = 11 if _longest_note(fluid) > _LONG else 13
    for note in fluid.layout.annotations:
        note.font.size = min(note.font.size or size, size)
    return fluid


def _longest_note(figure: go.Figure) -> int:
    return max((len(note.text or "") for note in figure.layout.annotations), default=0)


def least_width(figure: go.Figure) -> int:
    """Pixels below which its panels, or what is written beside them, would not be readable."""
    axes = [figure.layout[name] for name in figure.layout if name.startswith("xaxis")]
    columns = sorted({tuple(axis.domain or (0, 1)) for axis in axes})
    if len(columns) <= 1:
        longest = max((len(axis.title.text or "") for axis in axes), default=0)
        return max(_LEAST, _BESIDE + round(_LETTER * 13 * longest))
    longest = _longest_note(figure)
    per_title = round(_LETTER * (11 if longest > _LONG else 13) * min(longest, 60))
    by_titles = len(columns) * max(_PER_COLUMN, per_title)
    gap = min(right[0] - left[1] for left, right in pairwise(columns))
    by_gap = _gap_needed(figure) / gap if gap > 0 else 0
    return _BESIDE + max(by_titles, min(round(by_gap), _MOST_BY_GAP))


def _gap_needed(figure: go.Figure) -> int:
    """Pixels between columns, for the titles of vertical axes that stand there."""
    for name in figure.layout:
        axis = figure.layout[name]
        if name.startswith("yaxis") and axis.title.text:
            beside = figure.layout[(axis.anchor or "x").replace("x", "xaxis")]
            if beside.domain and beside.domain[0] > 0:
                return _WITH_TITLE
    return 0


def figure_json(figure: go.Figure) -> str:
    """JSON that cannot end the script element it stands in; numbers in single precision.

    Without the template, which the page holds once.
    """
    small = go.Figure(figure)
    for trace in small.data:
        if trace.type == "scatter" and "lines" in (trace.mode or "lines"):
            _shorten(trace)
    content = go.Figure(_in_single_precision(small.to_plotly_json())).to_dict()
    content["layout"].pop("template", None)
    return _safe(to_json_plotly(content))


def template_json() -> str:
    """The template of every figure, as such JSON."""
    return _safe(to_json_plotly(TEMPLATE.to_plotly_json()))


def _safe(told: str) -> str:
    return told.replace("<", "\\u003c")


def _shorten(line: go.Scatter) -> None:
    """Keeps every so many of a line's points, the last among them; even steps become a number."""
    listed = {
        name: np.asarray(line[name])
        for name in ("x", "y", "text", "customdata")
        if isinstance(line[name], tuple | list | np.ndarray)
    }
    if len({len(values) for values in listed.values()}) != 1:
        return
    every = math.ceil(len(line.y) / MOST_POINTS) if "y" in listed else 1
    listed = {name: values[::-1][::every][::-1] for name, values in listed.items()}
    line.update(listed)
    x = listed.get("x", np.array([]))
    if len(x) > 2 and np.issubdtype(x.dtype, np.number):
        steps = np.diff(x)
        if steps[0] and np.allclose(steps, steps[0], rtol=1e-6, atol=0):
            line.update(x=None, x0=float(x[0]), dx=float(steps[0]))


def _in_single_precision(value: Any) -> Any:
    """Seven digits of every array of numbers, which plotly writes in base64."""
    if isinstance(value, dict):
        return {key: _in_single_precision(each) for key, each in value.items()}
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return value.astype(np.float32)
    if isinstance(value, list | tuple):
        return [_in_single_precision(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
