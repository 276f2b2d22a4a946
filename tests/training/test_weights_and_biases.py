"""Logging to Weights & Biases, offline: what was logged is read back from its own file."""

import pandas as pd
import pytest

from coopetition_interp.tasks.exemplar_label import preset
from coopetition_interp.training.weights_and_biases import open_metrics_log

wandb = pytest.importorskip("wandb")

ROWS = pd.DataFrame(
    {
        "sequences_seen": [640, 640],
        "evaluator": ["icl", "flip"],
        "loss": [0.5, 1.5],
        "training_loss": [2.0, 2.0],
    }
)


def test_an_offline_run_is_written_beside_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logged = []
    with open_metrics_log("coopetition", tmp_path, preset("tiny")) as log:
        monkeypatch.setattr(log._run, "log", logged.append)
        log.write(ROWS)
    assert logged == [
        {"sequences_seen": 640, "training_loss": 2.0, "icl/loss": 0.5, "flip/loss": 1.5}
    ]
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))


def test_without_a_project_nothing_is_kept(tmp_path):
    with open_metrics_log(None, tmp_path, preset("tiny")) as log:
        log.write(ROWS)
    assert not list(tmp_path.iterdir())
