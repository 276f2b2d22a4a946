"""The scripts of the toy figures, run as a person would, on few steps and without a browser."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coopetition_interp.toy_models import (
    PHASE_CHANGE_LOSS,
    CoopetitionModel,
    simulate_coopetition,
    simulate_phase_change,
)

ANALYSES = Path(__file__).parents[2] / "analyses"


@pytest.fixture
def run_script(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-such-browser"))

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, "--out", str(tmp_path / "figures"), *arguments])
        runpy.run_path(str(ANALYSES / f"{name}.py"), run_name="__main__")
        files = {path.name for path in (tmp_path / "figures").iterdir()}
        assert f"{name}.html" in files
        table = pd.read_csv(tmp_path / "figures" / f"{name}.csv")
        return table, files, capsys.readouterr().out

    return run


def test_phase_change(run_script):
    name = "ih_fig4_6a_toy_phase_change"
    table, files, printed = run_script(name, "--steps", "100", "--seeds", "3")
    assert f"{name}_plateau_ends.csv" in files
    assert "b and c clamped: 3 of 3 seeds leave the plateau within 100 steps" in printed
    for clamped, vectors in (("nothing", ()), ("b and c", ("b", "c"))):
        expected = simulate_phase_change([1], vectors, 100).value(PHASE_CHANGE_LOSS)[:, 0]
        np.testing.assert_allclose(table.loc[table["clamped"] == clamped, "value"], expected)


def test_progress_measures(run_script):
    table, _, printed = run_script("ih_fig4_7_toy_progress_measures", "--steps", "100")
    assert table.groupby(["quantity", "clamped"]).size().to_dict() == {
        ("training loss", "nothing"): 101,
        ("training loss", "b and c"): 101,
        ("squared cosine of a and its target", "nothing"): 101,
        ("loss with b and c at their targets", "nothing"): 101,
        ("loss with b and c from the end", "nothing"): 101,
    }
    assert "training loss, b and c clamped: half way at step 62" in printed


@pytest.mark.parametrize(
    ("name", "mu1", "options", "seeds"),
    [
        ("fig05a_toy_coopetition", 0.1, ["--seed", "3"], [3]),
        ("fig16_toy_transience", 0.1, ["--seeds", "2"], [0, 1]),
        ("fig17_toy_no_transience", 0.0, ["--seeds", "2"], [0, 1]),
    ],
)
def test_coopetition(run_script, name, mu1, options, seeds):
    table, files, printed = run_script(name, "--steps", "100", "--every", "50", *options)
    assert f"{name}_outcomes.csv" in files
    assert f"mu1 = {mu1}, alpha = 0.1, {len(seeds)} seeds, at most 100 steps" in printed
    assert f"never left the plateau: {len(seeds)}" in printed
    model = CoopetitionModel(mu1=mu1)
    run = simulate_coopetition(model, seeds, 100)
    for column, seed in enumerate(seeds):
        for quantity, expression in model.curves().items():
            rows = table[(table["seed"] == seed) & (table["quantity"] == quantity)]
            assert list(rows["step"]) == [0, 50, 100]
            np.testing.assert_allclose(rows["value"], run.value(expression)[::50, column])
