"""Evaluators' curves that grow in a notebook while a model trains there."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from uuid import uuid4

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.analysis.evaluator_curve import evaluators_with, metric_to_show
from coopetition_interp.reporting.evaluators import evaluator_curves


class LiveCurves:
    """A figure below a notebook's cell, redrawn whenever it is called with the metrics so far.

    One instance for one run: `train(config, out, on_evaluation=LiveCurves())`. With anywidget
    installed the figure is a plotly `FigureWidget`, which keeps its zoom while curves grow;
    otherwise the cell's output is replaced.

    Args:
        evaluators: Which to draw; None for all that the metric says something about.
        metric: What to draw of them; None for in-context accuracy where the run has it, and else
            accuracy, loss or what there is, see `metric_to_show`.
        title: Of the figure.
        widget: Draw a `FigureWidget`; None does where anywidget is installed. False where a
            front end shows no widgets.

    Attributes:
        figure: What is shown; None before the first call.

    Raises:
        RuntimeError: Not in a notebook.
        ImportError: `widget` is True and anywidget is not installed.
    """

    def __init__(
        self,
        evaluators: Sequence[str] | None = None,
        metric: str | None = None,
        title: str | None = None,
        widget: bool | None = None,
    ):
        require_notebook()
        has_widgets = find_spec("anywidget") is not None
        if widget and not has_widgets:
            raise ImportError(
                "a FigureWidget needs anywidget: `pip install anywidget`, or leave out widget=True"
            )
        self.evaluators = evaluators
        self.metric = metric
        self.title = title
        self.figure: go.Figure | None = None
        self._is_widget = has_widgets if widget is None else widget
        self._display_id = uuid4().hex

    def __call__(self, metrics: pd.DataFrame) -> None:
        """Draws the metrics so far, a row per moment and evaluator, once the metric has a value.

        Raises:
            ValueError: The table lacks an evaluator or the metric. In training that shows at the
                first evaluation, before the first step.
        """
        if self.metric is None:
            self.metric = metric_to_show(metrics, self.evaluators)
        if self.metric in metrics and metrics[self.metric].isna().all():
            return  # as of the training loss before the first step
        newer = curves_so_far(metrics, self.evaluators, self.metric, self.title)
        is_first = self.figure is None
        if self.figure is None:
            self.figure = go.FigureWidget(newer) if self._is_widget else newer
        else:
            lengthen(self.figure, newer)
        if is_first or not self._is_widget:
            self._show(is_first)

    def _show(self, is_first: bool) -> None:
        from IPython.display import display, update_display

        if self._is_widget:
            display(self.figure)
            return
        # As a bundle: displayed by itself, a plotly figure takes no display_id.
        assert self.figure is not None
        show = display if is_first else update_display
        show(self.figure._repr_mimebundle_(), raw=True, display_id=self._display_id)


def curves_so_far(
    metrics: pd.DataFrame,
    evaluators: Sequence[str] | None = None,
    metric: str | None = None,
    title: str | None = None,
) -> go.Figure:
    """`evaluator_curves` of a run that is going on, with a marker on each moment.

    Args:
        metrics: So far.
        evaluators: Which to draw; None for all whose metric is not NaN throughout.
        metric: What to draw of them; None for what `metric_to_show` gives.
        title: Of the figure.

    Raises:
        ValueError: The table lacks an evaluator or the metric.
    """
    metric = metric or metric_to_show(metrics, evaluators)
    if evaluators is None:
        evaluators = evaluators_with(metrics, metric)
    figure = evaluator_curves(metrics, evaluators, metric, title=title)
    # A line alone shows nothing at the first evaluation.
    return figure.update_traces(mode="lines+markers", marker_size=4)


def lengthen(figure: go.Figure, newer: go.Figure) -> None:
    """Gives the curves of a figure, in place, the points of a newer one; new curves are added."""
    shown = {trace.name: trace for trace in figure.data}
    with figure.batch_update():
        for curve in newer.data:
            if curve.name in shown:
                shown[curve.name].update(x=curve.x, y=curve.y)
    figure.add_traces([curve for curve in newer.data if curve.name not in shown])


def require_notebook() -> None:
    """Raises an error unless this runs in a notebook's kernel.

    Raises:
        RuntimeError: It does not.
    """
    shell = None
    if find_spec("IPython") is not None:
        from IPython import get_ipython

        shell = get_ipython()
    if getattr(shell, "kernel", None) is None:
        raise RuntimeError(
            "LiveCurves draws in a Jupyter notebook and this is none: elsewhere, draw a run that "
            "is going on from its directory, `evaluator_curves(load_run(path).metrics)`"
        )
