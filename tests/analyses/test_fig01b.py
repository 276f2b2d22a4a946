"""The script of Figure 1b, run as a person would, without a browser."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coopetition_interp.tasks.exemplar_label import preset
from coopetition_interp.training import load_run
from coopetition_interp.training.run_directory import RunDirectory

SCRIPT = Path(__file__).parents[2] / "analyses" / "fig01b_transience.py"
NAME = "fig01b_transience"


@pytest.fixture
def run_script(monkeypatch, tmp_path):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-such-browser"))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [SCRIPT.name, *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")

    return run


@pytest.fixture
def saved_run(tmp_path):
    """A run's directory, as training writes it, with made-up curves that have known landmarks."""
    seen = np.arange(0, 32_001, 1600)
    corners = {
        "train": ((3200, 0.5), (6400, 1.0)),
        "icl": ((3200, 0.5), (16_000, 0.9), (32_000, 0.7)),
        "ciwl": ((0, 0.5), (32_000, 0.97)),
        "flip": ((3200, 0.5), (8000, 0.8), (24_000, 0.0)),
    }
    curves = {name: np.interp(seen, *zip(*points)) for name, points in corners.items()}  # noqa: B905
    curves["iwl"] = np.full(len(seen), np.nan)
    with RunDirectory(tmp_path / "run") as directory:
        directory.write_config(preset("tiny"), {"d_feature": 16, "n_labels": 64})
        directory.write_metrics(
            pd.concat(
                pd.DataFrame(
                    {
                        "sequences_seen": seen,
                        "evaluator": name,
                        "in_context_accuracy": values,
                        "accuracy": 0.25,
                        "n_sequences": 5000,
                    }
                )
                for name, values in curves.items()
            )
        )
        directory.write_status("finished", 32_000)
    return directory.path


def test_curves_and_numbers_are_written_beside_the_run(run_script, saved_run, capsys):
    run_script(saved_run)
    printed = capsys.readouterr().out
    # Flip falls from 0.8 at 8,000 to 0 at 24,000: it is at one half at 14,000.
    numbers = pd.read_csv(saved_run / "figures" / f"{NAME}_numbers.csv").set_index("quantity")
    assert numbers.loc["Flip falls through 0.5", "ours"] == "0.014M"
    assert numbers.loc["Flip falls through 0.5", "paper"] == "~6.4M"
    assert numbers.loc["CIWL, end", "ours"] == "0.970 at 0.032M"
    for row in numbers.itertuples():
        assert row.Index in printed
        assert row.ours in printed
    table = pd.read_csv(saved_run / "figures" / f"{NAME}.csv")
    assert set(table["evaluator"]) == {"train", "icl", "ciwl", "flip"}
    metrics = load_run(saved_run).metrics
    assert len(table) == len(metrics[metrics["evaluator"] != "iwl"])
    assert "Flip" in (saved_run / "figures" / f"{NAME}.html").read_text(encoding="utf-8")


def test_another_folder_and_the_named_option(run_script, saved_run, tmp_path):
    run_script("--run", saved_run, "--out", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / f"{NAME}.html").is_file()
    assert not (saved_run / "figures").exists()


def expect_error(run_script, capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        run_script(*arguments)
    assert exit_.value.code == 2
    return capsys.readouterr().err


def test_a_missing_run_says_which_command_makes_it(run_script, tmp_path, capsys):
    missing = tmp_path / "none"
    error = expect_error(run_script, capsys, missing)
    assert f"`coopetition-interp train laptop --out {missing}`" in error
    assert not missing.exists()


def test_a_run_without_metrics_or_with_a_damaged_config_is_told(run_script, saved_run, capsys):
    (saved_run / "metrics.csv").unlink()
    assert "has not been evaluated yet" in expect_error(run_script, capsys, saved_run)
    (saved_run / "config.json").write_text("{")
    assert "cannot be read as JSON" in expect_error(run_script, capsys, saved_run)


def test_the_run_is_needed_once(run_script, saved_run, capsys):
    assert "required" in expect_error(run_script, capsys)
    assert "not allowed" in expect_error(run_script, capsys, saved_run, "--run", saved_run)
