"""A run to look through: attention patterns beside the evaluators' curves, with a slider."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sequential
from plotly.subplots import make_subplots

from coopetition_interp.analysis.attention_patterns import attention_over_checkpoints, sequences_of
from coopetition_interp.analysis.evaluator_curve import evaluators_with, metric_to_show
from coopetition_interp.interventions.heads import Head
from coopetition_interp.reporting.attention_panels import PanelGrid, Pattern, patterns_of
from coopetition_interp.reporting.evaluators import evaluator_curves
from coopetition_interp.reporting.style import (
    TEMPLATE,
    chance_line,
    evaluator_styles,
    millions,
    sequence_count,
    sequences_seen_axis,
)
from coopetition_interp.tasks.exemplar_label import ExemplarLabelConfig
from coopetition_interp.training.run import Run

MILLISECONDS_PER_FRAME = 400

_ABOVE, _BELOW = 70, 222  # margins, in pixels
_PALE_TO_DARK = sequential.Blues[1:]  # 0 is not white: that is what comes after a token


def checkpoint_explorer(
    run: Run,
    evaluator: str = "flip",
    heads: Iterable[Head] | None = None,
    n_checkpoints: int = 40,
    n_sequences: int = 256,
    progress: bool = False,
) -> go.Figure:
    """Evaluators' curves and attention patterns of a run, checkpoint by checkpoint.

    The curves are of in-context accuracy, or of accuracy where no evaluator has that. Patterns are
    taken as the curves were: under the clamps that the run was trained with.

    Args:
        run: The run.
        evaluator: The patterns are averaged over this evaluator's sequences.
        heads: (layer, head) pairs, from 0; None for all.
        n_checkpoints: At most so many, evenly spread, the first and the last among them.
        n_sequences: The evaluator's first so many, or as many as it has.
        progress: Show a progress bar.

    Returns:
        A figure with a frame per checkpoint, a slider and buttons to play and to pause. As JSON
        some 0.2 MB for 40 checkpoints and 16 heads.

    Raises:
        RunError: The run has no checkpoints.
        ValueError: It is of a task without exemplars and labels, has not been evaluated yet, has no
            such evaluator or head, or a number is below 1.
        FileNotFoundError: A checkpoint that one of its clamps takes weights from is gone.
    """
    if not isinstance(run.config, ExemplarLabelConfig):
        raise ValueError(
            f"{run.path} is a run of the task {run.config.task!r}: the explorer shows runs of "
            "'exemplar_label' alone; draw others' curves by LiveCurves or evaluator_curves"
        )
    metrics = run.metrics
    metric = metric_to_show(metrics)
    curves = evaluator_curves(metrics, evaluators_with(metrics, metric), metric)
    attention = attention_over_checkpoints(
        run, evaluator, heads, n_checkpoints, n_sequences, run.config.clamps, progress=progress
    )
    n_averaged = min(n_sequences, len(sequences_of(run, evaluator)))
    clamped = ", clamps of its training held" if run.config.clamps else ""
    title = (
        f"{run.path.resolve().name}: mean attention on {n_averaged} "
        f"{evaluator_styles([evaluator])[evaluator].name} sequences{clamped}"
    )
    return attention_explorer(curves, attention, title)


def attention_explorer(
    curves: go.Figure, attention: pd.DataFrame, title: str | None = None
) -> go.Figure:
    """Curves over training, and beside them attention patterns at one checkpoint at a time.

    Args:
        curves: Of `evaluator_curves`.
        attention: Of `attention_over_checkpoints`.
        title: Of the figure.
    """
    patterns = patterns_of(attention)
    first = min(patterns)
    grid = PanelGrid.of(patterns[first])
    figure = _panels(grid)
    for trace in curves.data:
        figure.add_trace(trace, row=1, col=1)
    if curves.layout.shapes:
        chance_line(figure, row=1, col=1)
    n_curves = len(figure.data)
    figure.add_trace(_marker(first), row=1, col=1)
    for head, pattern in patterns[first].items():
        row, column = grid.cells[head]
        figure.add_trace(_heatmap(pattern), row=row, col=column)
    moving = list(range(n_curves, len(figure.data)))
    figure.frames = [
        go.Frame(
            name=str(seen),
            data=[
                {"type": "scatter", "x": millions([seen] * 2).tolist()},
                *({"type": "heatmap", "z": each.z} for each in of_heads.values()),
            ],
            traces=moving,
        )
        for seen, of_heads in patterns.items()
    ]
    _finish(figure, grid, list(patterns), title)
    figure.update_yaxes(title_text=curves.layout.yaxis.title.text, row=1, col=1)
    return figure


def _panels(grid: PanelGrid) -> go.Figure:
    """Empty panels: the curves over the whole height, then the heads."""
    taken = set(grid.cells.values())
    columns = range(2, grid.n_columns + 1)
    specs: list[list[Any]] = [
        [None, *({} if (row, column) in taken else None for column in columns)]
        for row in range(1, grid.n_rows + 1)
    ]
    specs[0][0] = {"rowspan": grid.n_rows}
    in_rows = sorted(grid.cells, key=lambda head: grid.cells[head])
    names = [f"layer {layer} head {head}" for layer, head in in_rows]
    curves_width = 0.42
    return make_subplots(
        rows=grid.n_rows,
        cols=grid.n_columns,
        specs=specs,
        subplot_titles=["", *names],
        column_widths=[curves_width, *([(1 - curves_width) / len(columns)] * len(columns))],
        horizontal_spacing=0.012,
        vertical_spacing=0.26 / max(grid.n_rows, 2),
    )


def _marker(sequences_seen: int) -> go.Scatter:
    return go.Scatter(
        x=millions([sequences_seen] * 2).tolist(),
        y=[0, 1],
        name="checkpoint shown",
        mode="lines",
        line={"color": "#ff7f0e", "width": 3},
        hoverinfo="skip",
    )


def _heatmap(pattern: Pattern) -> go.Heatmap:
    return go.Heatmap(
        x=pattern.keys,
        y=pattern.queries,
        z=pattern.z,
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        hoverongaps=False,
        hovertemplate="%{y} attends to %{x}: %{z:.3f}<extra></extra>",
    )


def _finish(figure: go.Figure, grid: PanelGrid, checkpoints: list[int], title: str | None) -> None:
    last_row: dict[int, int] = {}  # of each column: there its keys are named
    for row, column in grid.cells.values():
        last_row[column] = max(row, last_row.get(column, 0))
    small = {"size": 10}
    for row, column in grid.cells.values():
        place = {"row": row, "col": column}
        figure.update_xaxes(
            showgrid=False,
            ticks="",
            dtick=1,
            tickangle=-90,
            tickfont=small,
            **place,
            showticklabels=row == last_row[column],
        )
        figure.update_yaxes(
            showgrid=False,
            ticks="",
            dtick=1,
            autorange="reversed",
            tickfont=small,
            **place,
            showticklabels=column == 2,
        )
    figure.update_annotations(font_size=12)
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero", row=1, col=1)
    figure.update_xaxes(domain=[0, 0.28], row=1, col=1)
    figure.update_yaxes(range=[-0.02, 1.04], row=1, col=1)
    start = figure.layout.xaxis2.domain[0]
    _axis_title(figure, "attending token", x=start, xshift=-112, y=0.5, textangle=-90)
    _axis_title(figure, "token attended to", x=(start + 1) / 2, y=0, yshift=-82)
    figure.update_layout(
        title=title,
        template=TEMPLATE,
        hovermode="closest",
        height=grid.plot_height + _ABOVE + _BELOW,
        margin={"t": _ABOVE, "b": _BELOW, "l": 70, "r": 90},
        legend={"orientation": "h", "x": 0, "y": -88 / grid.plot_height, "yanchor": "top"},
        coloraxis={
            "cmin": 0,
            "cmax": 1,
            "colorscale": _PALE_TO_DARK,
            "colorbar": {"title": "attention", "len": 0.8, "thickness": 14},
        },
        sliders=[_slider(checkpoints)],
        updatemenus=[_play_and_pause()],
    )


def _axis_title(figure: go.Figure, text: str, **where: Any) -> None:
    """A title that several panels share."""
    figure.add_annotation(
        text=text, xref="paper", yref="paper", showarrow=False, font_size=14, **where
    )


def _slider(checkpoints: list[int]) -> dict[str, Any]:
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
    return {
        "active": 0,
        "x": 0.14,
        "len": 0.86,
        "y": 0,
        "pad": {"t": 128},
        "currentvalue": {"prefix": "sequences seen: ", "xanchor": "left"},
        "transition": {"duration": 0},
        "steps": [
            {
                "label": sequence_count(seen),
                "value": str(seen),
                "method": "animate",
                "args": [[str(seen)], {**at_once, "transition": {"duration": 0}}],
            }
            for seen in checkpoints
        ],
    }


def _play_and_pause() -> dict[str, Any]:
    # Heatmaps change only where the whole panel is drawn anew.
    frame = {"duration": MILLISECONDS_PER_FRAME, "redraw": True}
    still = {"duration": 0, "redraw": False}
    play = {"frame": frame, "fromcurrent": True, "transition": {"duration": 0}}
    pause = {"frame": still, "mode": "immediate", "transition": {"duration": 0}}
    return {
        "type": "buttons",
        "direction": "left",
        "showactive": False,
        "x": 0,
        "xanchor": "left",
        "y": 0,
        "yanchor": "top",
        "pad": {"t": 152},
        "buttons": [
            {"label": "Play", "method": "animate", "args": [None, play]},
            {"label": "Pause", "method": "animate", "args": [[None], pause]},
        ],
    }
