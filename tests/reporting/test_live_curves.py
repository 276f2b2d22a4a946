import json
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from own_task import FirstTokenConfig

from coopetition_interp.reporting.live_curves import LiveCurves, curves_so_far, lengthen
from coopetition_interp.training import train

ACCURACY = {"train": 0.9, "icl": 0.7, "iwl": np.nan}
has_kernel = all(find_spec(name) is not None for name in ("nbclient", "ipykernel"))


def metrics(n_moments):
    return pd.DataFrame(
        [
            (moment * 1_000_000, name, accuracy * moment / 10, 2.0 - moment / 10)
            for moment in range(n_moments)
            for name, accuracy in ACCURACY.items()
        ],
        columns=["sequences_seen", "evaluator", "in_context_accuracy", "loss"],
    )


def points(figure):
    return {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}


def test_curves_grow_in_place():
    figure = curves_so_far(metrics(1), title="a run")
    assert list(points(figure)) == ["Train", "ICL"]  # IWL has no such accuracy
    assert {trace.mode for trace in figure.data} == {"lines+markers"}  # one point is seen
    traces = figure.data
    for n_moments in (2, 3, 7):
        lengthen(figure, curves_so_far(metrics(n_moments)))
        assert points(figure) == points(curves_so_far(metrics(n_moments)))
        assert len(points(figure)["ICL"][0]) == n_moments
    assert all(now is before for now, before in zip(figure.data, traces, strict=True))
    assert points(figure)["ICL"][0][-1] == 6.0  # millions
    assert points(figure)["ICL"][1][-1] == pytest.approx(0.7 * 6 / 10)
    assert figure.layout.title.text == "a run"


def test_a_curve_that_begins_later_is_added():
    figure = curves_so_far(metrics(2), ["icl"])
    lengthen(figure, curves_so_far(metrics(3), ["icl", "train"]))
    assert points(figure) == points(curves_so_far(metrics(3), ["icl", "train"]))


def test_chosen_evaluators_and_metric():
    assert list(points(curves_so_far(metrics(2), ["iwl"], "loss"))) == ["IWL"]
    assert list(points(curves_so_far(metrics(2), metric="loss"))) == ["Train", "ICL", "IWL"]
    with pytest.raises(ValueError, match="no evaluator 'flip'"):
        curves_so_far(metrics(2), ["flip"])
    with pytest.raises(ValueError, match="no value of 'accuracy'"):
        curves_so_far(metrics(2), metric="accuracy")
    with pytest.raises(ValueError, match="first evaluation"):
        curves_so_far(pd.DataFrame())


def of_own_task(n_moments):
    """Without in-context accuracy; a column of the user's is no number before the third moment."""
    table = metrics(n_moments).rename(columns={"in_context_accuracy": "hits"})
    return table.assign(late=np.where(table.sequences_seen >= 2e6, 0.5, np.nan), n_sequences=50)


def test_without_in_context_accuracy_what_there_is_is_drawn():
    losses = curves_so_far(of_own_task(2))
    assert points(losses) == points(curves_so_far(of_own_task(2), metric="loss"))
    hits = curves_so_far(of_own_task(2).drop(columns="loss"))
    assert list(points(hits)) == ["Train", "ICL"]
    assert hits.layout.yaxis.title.text == "hits"
    assert points(curves_so_far(metrics(2), ["iwl"]))["IWL"][1] == [2.0, 1.9]  # its loss


def test_a_metric_without_a_value_yet_is_waited_for(monkeypatch):
    monkeypatch.setattr("coopetition_interp.reporting.live_curves.require_notebook", lambda: None)
    live = LiveCurves(metric="late", widget=False)
    monkeypatch.setattr(live, "_show", lambda is_first: None)
    live(of_own_task(2))
    assert live.figure is None
    live(of_own_task(3))
    assert points(live.figure)["ICL"] == ([2.0], [0.5])


def test_a_run_of_ones_own_task_is_trained_with_live_curves(monkeypatch, tmp_path):
    monkeypatch.setattr("coopetition_interp.reporting.live_curves.require_notebook", lambda: None)
    live = LiveCurves(widget=False)
    monkeypatch.setattr(live, "_show", lambda is_first: None)
    config = FirstTokenConfig(n_sequences=64)
    train(config, tmp_path / "run", progress=False, on_evaluation=live)
    assert live.metric == "accuracy"
    assert len(points(live.figure)["all"][0]) == 2


def test_outside_a_notebook_it_says_so_at_once():
    with pytest.raises(RuntimeError, match="Jupyter notebook and this is none") as error:
        LiveCurves()
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not has_kernel, reason="nbclient and ipykernel are not installed")
@pytest.mark.parametrize("widget", [False, True])
def test_in_a_notebooks_kernel(widget):
    import nbclient
    import nbformat

    if widget and find_spec("anywidget") is None:
        pytest.skip("anywidget is not installed")
    tables = [metrics(n).dropna().to_dict("records") for n in (1, 2, 5)]
    cells = [
        "import json, pandas as pd\n"
        "from coopetition_interp.reporting.live_curves import LiveCurves\n"
        f"live = LiveCurves(widget={widget})",
        f"for table in {tables}: live(pd.DataFrame(table))",
        "print(json.dumps([list(trace.y) for trace in live.figure.data]))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    outputs = notebook.cells[1].outputs
    assert len(outputs) == 1  # redrawn, not drawn again below
    expected = curves_so_far(metrics(5))
    assert json.loads(notebook.cells[2].outputs[0].text) == [list(t.y) for t in expected.data]
    if widget:
        assert "application/vnd.jupyter.widget-view+json" in outputs[0].data
    else:
        drawn = outputs[0].data["application/vnd.plotly.v1+json"]
        assert drawn["data"] == json.loads(expected.to_json())["data"]
