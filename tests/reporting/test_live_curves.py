import json
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from coopetition_interp.reporting.live_curves import LiveCurves, curves_so_far, lengthen

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
