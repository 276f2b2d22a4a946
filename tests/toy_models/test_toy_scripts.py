"""The scripts of the toy figures, run as a person would, on few steps and without a browser."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coopetition_interp.figures.page import NUMBERS_COLUMNS
from coopetition_interp.figures.toy_entries import TOY_FIGURES
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
        """The curves, the number of each quantity, and what was printed."""
        folder = tmp_path / "figures"
        monkeypatch.setattr(sys, "argv", [name, "--out", str(folder), *arguments])
        runpy.run_path(str(ANALYSES / f"{name}.py"), run_name="__main__")
        printed = capsys.readouterr().out
        for path in folder.iterdir():
            assert f"wrote {path}\n" in printed
        assert (folder / f"{name}.html").is_file()
        assert re.search(r"^(reproduced|differs)\. ", printed, re.MULTILINE)
        numbers = pd.read_csv(folder / f"{name}_numbers.csv", dtype=str)
        assert tuple(numbers.columns) == NUMBERS_COLUMNS
        assert all(ours in printed for ours in numbers["ours"])
        return (
            pd.read_csv(folder / f"{name}.csv"),
            dict(zip(numbers["quantity"], numbers["ours"], strict=True)),
            printed,
        )

    return run


def test_every_toy_figure_has_its_script():
    assert set(TOY_FIGURES) == {path.stem for path in ANALYSES.glob("*.py") if "_toy_" in path.stem}


def test_phase_change(run_script):
    table, numbers, _ = run_script("ih_fig4_6a_toy_phase_change", "--steps", "100", "--seeds", "3")
    assert numbers["seed 1 drawn, b and c clamped: half way at step"] == "62"
    assert numbers["seed 1 drawn, nothing clamped: half way at step"] == "not reached"
    for clamped, vectors in (("nothing", ()), ("b and c", ("b", "c"))):
        expected = simulate_phase_change([1], vectors, 100).value(PHASE_CHANGE_LOSS)[:, 0]
        np.testing.assert_allclose(table.loc[table["clamped"] == clamped, "value"], expected)


def test_progress_measures(run_script):
    table, numbers, _ = run_script(
        "ih_fig4_7_toy_progress_measures", "--steps", "100", "--seeds", "2"
    )
    assert table.groupby(["quantity", "clamped"]).size().to_dict() == {
        ("training loss", "nothing"): 101,
        ("training loss", "b and c"): 101,
        ("squared cosine of a and its target", "nothing"): 101,
        ("loss with b and c at their targets", "nothing"): 101,
        ("loss with b and c from the end", "nothing"): 101,
    }
    assert numbers["seed 1 drawn, training loss, b and c clamped: half way at step"] == "62"


@pytest.mark.parametrize(
    ("name", "mu1", "options", "seeds"),
    [
        ("fig05a_toy_coopetition", 0.1, ["--seed", "3"], [3]),
        ("fig16_toy_transience", 0.1, ["--seeds", "2"], [0, 1]),
        ("fig17_toy_no_transience", 0.0, ["--seeds", "2"], [0, 1]),
    ],
)
def test_coopetition(run_script, tmp_path, name, mu1, options, seeds):
    table, _, printed = run_script(name, "--steps", "100", "--every", "50", *options)
    assert "differs. " in printed  # a hundred steps do not leave the plateau
    outcomes = pd.read_csv(tmp_path / "figures" / f"{name}_outcomes.csv")
    assert list(outcomes["seed"]) == seeds
    assert set(outcomes["outcome"]) == {"plateau"}
    model = CoopetitionModel(mu1=mu1)
    run = simulate_coopetition(model, seeds, 100)
    for column, seed in enumerate(seeds):
        for quantity, expression in model.curves().items():
            rows = table[(table["seed"] == seed) & (table["quantity"] == quantity)]
            assert list(rows["step"]) == [0, 50, 100]
            np.testing.assert_allclose(rows["value"], run.value(expression)[::50, column])


@pytest.mark.parametrize(
    ("option", "complaint"),
    [("--seeds", "at least one"), ("--steps", "at least 3 points"), ("--every", "at least 1")],
)
def test_a_size_of_zero_is_refused(run_script, capsys, option, complaint):
    with pytest.raises(SystemExit) as exit_:
        run_script("fig16_toy_transience", option, "0")
    assert exit_.value.code == 2
    assert complaint in capsys.readouterr().err
