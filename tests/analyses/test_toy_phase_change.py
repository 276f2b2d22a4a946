"""The phase-change model over seeds, and that its figures' verdicts follow the simulations."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyses.toy_models.phase_change_seeds import (
    LOSS_WITH_FINAL,
    LOSS_WITH_TARGETS,
    SQUARED_COSINE,
    clamped_loss_shapes,
    progress_measure_shapes,
    progress_measures,
    rate_ratio,
    shapes,
)
from coopetition_interp.analysis.phase_change import loss_shape
from coopetition_interp.reporting.figure_file import FigureFile
from coopetition_interp.reporting.verdicts import verdict_of
from coopetition_interp.toy_models import (
    PHASE_CHANGE_DIMS,
    PHASE_CHANGE_LOSS,
    draw_vectors,
    simulate_phase_change,
)

FOLDER = Path(__file__).parents[2] / "analyses" / "toy_models"
SEEDS = [1, 2, 3]


@given(rate=st.floats(0.01, 1.0), height=st.floats(0.1, 100))
def test_an_exponential_falls_at_one_rate(rate, height):
    assert rate_ratio(height * np.exp(-rate * np.arange(200.0))) == pytest.approx(1, rel=1e-6)


def test_rates_of_other_curves():
    steps = np.arange(100.0)
    two = np.exp(-0.1 * steps) + np.exp(-0.02 * steps)
    slowest = np.log(two[-2] / two[-1])
    fastest = np.log(two[0] / two[1])
    assert rate_ratio(two) == pytest.approx(slowest / fastest)
    assert rate_ratio(np.array([1.0, 0.5, 0.5, 0.2])) == 0  # stands still
    assert rate_ratio(np.array([1.0, 0.5, 0.6, 0.2])) < 0  # rises
    assert np.isnan(rate_ratio(np.array([1.0, 1.0, 1.1])))  # never falls
    # Below a millionth of the first loss, most of it is rounding: not looked at.
    assert rate_ratio(np.array([1.0, 0.1, 0.01, 1e-7, 3e-7])) == pytest.approx(1)
    with pytest.raises(ValueError, match="above 0"):
        rate_ratio(np.array([0.0, 1.0]))


def test_with_b_and_c_clamped_the_rate_is_the_closed_form():
    """Each step shrinks a's error by 1 - |b|^2 |c|^2 / 8000, so the loss by its square."""
    loss = simulate_phase_change(SEEDS, ("b", "c"), 60).value(PHASE_CHANGE_LOSS)
    targets = draw_vectors(PHASE_CHANGE_DIMS, SEEDS).targets
    _, b, c = np.sum(targets**2, axis=-1).T
    expected = (1 - b * c / 8000) ** 2
    kept = loss[1:] > 1e-6 * loss[0]
    ratios = loss[1:] / loss[:-1]
    np.testing.assert_allclose(ratios[kept], np.broadcast_to(expected, ratios.shape)[kept], 1e-6)


def test_a_row_per_clamp_and_seed():
    table = clamped_loss_shapes(SEEDS, 300)
    assert table.groupby("clamped", sort=False)["seed"].apply(list).to_dict() == {
        "nothing": SEEDS,
        "c": SEEDS,
        "b and c": SEEDS,
    }
    exponential = table[table["clamped"] == "b and c"]
    assert (exponential["kind"] == "exponential").all()
    np.testing.assert_allclose(exponential["rate_ratio"], 1, rtol=1e-4)
    assert (table.loc[table["clamped"] != "b and c", "rate_ratio"] < 0.9).all()
    alone = clamped_loss_shapes([2], 300, ["b and c"])
    together = exponential.set_index("seed").loc[2, "convexity_gap"]
    assert alone["convexity_gap"].item() == pytest.approx(together, rel=1e-6, abs=1e-9)


def test_shapes_of_the_measures():
    run = simulate_phase_change(SEEDS, steps=300)
    measures = progress_measures(run)
    table = progress_measure_shapes(SEEDS, 300).set_index(["measure", "seed"])
    assert list(table.index.get_level_values("measure").unique()) == [
        SQUARED_COSINE,
        LOSS_WITH_TARGETS,
        LOSS_WITH_FINAL,
    ]
    steps = np.arange(301)
    for name, values in measures.items():
        falling = 1 - values if name == SQUARED_COSINE else values
        for column, seed in enumerate(SEEDS):
            expected = loss_shape(steps, falling[:, column])
            row = table.loc[(name, seed)]
            assert row["kind"] == expected.kind
            assert row["convexity_gap"] == pytest.approx(expected.convexity_gap, abs=1e-9)
    assert table.loc[(SQUARED_COSINE, 2), "kind"] == "phase change"


def test_too_few_steps_for_a_shape_are_refused():
    with pytest.raises(ValueError, match="at least three points"):
        shapes(np.ones((2, 1)), [0])


# Figures ------------------------------------------------------------------------------------


def figure(name):
    return FigureFile.load(FOLDER / f"{name}.py").module


def found(rules):
    return [rule.found.partition(" (")[0] for rule in rules]


def test_claims_of_the_phase_change_over_the_seeds_of_the_table():
    module = figure("fig4_6a_phase_change")
    rules = module.rules(module.table(seeds=[5, 7, 8, 9, 11], drawn=5))
    # Seeds whose start is far from the saddle once c is clamped.
    other = module.rules(module.table(seeds=[1, 2, 3, 6], drawn=1))
    assert found(rules)[0] == "in 3 of 3 seeds"
    assert verdict_of(rules) == "reproduced"
    assert found(other)[2] == "in 0 of 4 seeds"
    assert other[2].verdict() == "contradicted"
    assert verdict_of(other) == "contradicted"


def test_progress_measures_differ_from_the_clamp():
    module = figure("fig4_7_progress_measures")
    tables = module.table(seeds=range(12), drawn=3)
    shapes = tables["shapes"]
    left = shapes[(shapes["measure"] == SQUARED_COSINE) & shapes["leaves_plateau_at"].notna()]
    n_changes = int((left["kind"] == "phase change").sum())
    assert n_changes > 0
    clamp, cosine, *_ = found(module.rules(tables))
    assert clamp == "in 12 of 12 seeds"
    assert cosine == f"in {n_changes} of {len(left)} seeds"


def test_curves_are_the_simulations():
    module = figure("fig4_6a_phase_change")
    tables = module.table(seeds=SEEDS, steps=100)
    for clamped, vectors in (("nothing", ()), ("b and c", ("b", "c"))):
        expected = simulate_phase_change([1], vectors, 100).value(PHASE_CHANGE_LOSS)[:, 0]
        rows = tables[""][tables[""]["clamped"] == clamped]
        np.testing.assert_allclose(rows["value"], expected)
        trace = next(t for t in module.draw(tables).data if t.name == f"{clamped} clamped")
        assert list(trace.y) == list(rows["value"])
    beside = {row.statement: row.found for row in module.beside(tables)}
    assert beside["seed 1 drawn, b and c clamped: half way at step"] == "62"
    assert beside["seed 1 drawn, nothing clamped: half way at step"] == "not reached"


def test_a_panel_for_the_training_losses_and_for_each_measure():
    module = figure("fig4_7_progress_measures")
    tables = module.table(seeds=[0, 1], steps=100)
    assert tables[""].groupby(["quantity", "clamped"]).size().to_dict() == {
        ("training loss", "nothing"): 101,
        ("training loss", "b and c"): 101,
        (SQUARED_COSINE, "nothing"): 101,
        (LOSS_WITH_TARGETS, "nothing"): 101,
        (LOSS_WITH_FINAL, "nothing"): 101,
    }
    drawn = module.draw(tables)
    titles = [note.text for note in drawn.layout.annotations]
    assert titles == ["training loss", SQUARED_COSINE, LOSS_WITH_TARGETS, LOSS_WITH_FINAL]
    assert [trace.xaxis for trace in drawn.data] == ["x", "x", "x2", "x3", "x4"]
    assert [trace.showlegend for trace in drawn.data] == [True, True, False, False, False]
    beside = {row.statement: row.found for row in module.beside(tables)}
    assert beside["seed 1 drawn, training loss, b and c clamped: half way at step"] == "62"


@pytest.mark.parametrize("name", ["fig4_6a_phase_change", "fig4_7_progress_measures"])
def test_a_few_steps_bear_out_no_claim(name):
    module = figure(name)
    assert verdict_of(module.rules(module.table(seeds=[0, 1], steps=12))) == "undecided"


def test_a_script_needs_no_runs(run_script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_script("toy_models/fig4_6a_phase_change", "--run", tmp_path, "--out", tmp_path)
    assert "unrecognized arguments: --run" in capsys.readouterr().err
    run_script("toy_models/fig4_6a_phase_change", "--out", tmp_path)
    printed = capsys.readouterr().out
    assert "\nundecided\n" in printed
    numbers = pd.read_csv(tmp_path / "fig4_6a_phase_change_numbers.csv")
    assert list(numbers.columns) == ["claim", "rule", "published", "ours", "verdict"]
    assert all(ours in printed for ours in numbers["ours"])
    assert (tmp_path / "fig4_6a_phase_change.html").is_file()
