"""The runs under checkpoints/ load, and their weights give the metrics that are saved with them."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from coopetition_interp.analysis.moments import moments_of
from coopetition_interp.reporting.figure_file import figure_files
from coopetition_interp.tasks.exemplar_label import preset
from coopetition_interp.tasks.exemplar_label.evaluation import evaluate
from coopetition_interp.training import load_run

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"


@pytest.fixture(scope="module")
def tiny():
    return load_run(CHECKPOINTS / "tiny")


def test_tiny_is_the_preset(tiny):
    assert tiny.config == preset("tiny")
    assert tiny.checkpoints == list(range(0, 32_001, 3_200))


def test_every_checkpoint_of_tiny_gives_its_metrics(tiny):
    for seen in tiny.checkpoints:
        scores = evaluate(tiny.model(seen), tiny.evaluation_sequences).set_index("evaluator")
        saved = tiny.metrics.query(f"sequences_seen == {seen}").set_index("evaluator")
        np.testing.assert_allclose(scores.loss, saved.loss[scores.index], rtol=1e-4)


def test_tiny_starts_from_the_initialisation_of_its_seed(tiny):
    fresh = tiny.config.model.build(tiny.resolved["d_feature"], tiny.resolved["n_labels"], 2)
    for name, weight in tiny.weights("first").items():
        # Made on another CPU, whose kernels may round the cut normal otherwise.
        torch.testing.assert_close(weight, fresh.get_parameter(name).detach())


@pytest.fixture(scope="module")
def laptop():
    return load_run(CHECKPOINTS / "laptop")


def test_in_context_learning_emerges_and_gives_way_on_real_characters(laptop):
    assert laptop.config.features == preset("laptop").features
    assert laptop.config.optimizer == preset("laptop").optimizer
    found = moments_of(laptop.metrics)
    assert found.rise < found.peak < found.crossing < laptop.metrics.sequences_seen.max()
    flip = laptop.metrics[laptop.metrics.evaluator == "flip"].in_context_accuracy
    assert flip.max() > 0.6
    assert flip.iloc[-1] < 0.3


def test_laptops_last_weights_give_its_last_metrics(laptop):
    names = ("icl", "flip", "ciwl")
    sequences = {name: laptop.evaluation_sequences[name][:1000] for name in names}
    scores = evaluate(laptop.model("last"), sequences).set_index("evaluator").in_context_accuracy
    at_last = laptop.metrics.sequences_seen == laptop.checkpoints[-1]
    last = laptop.metrics[at_last].set_index("evaluator").in_context_accuracy
    # Half of the sequences: four standard errors of a difference of accuracies.
    for name in names:
        assert abs(scores[name] - last[name]) < 0.06


def test_every_figure_of_every_packed_study_is_drawn_or_lacks_its_runs(tmp_path):
    """By the command, whose processes do not check shapes: the toy models take 100,000 steps."""
    done = subprocess.run(
        [sys.executable, "-m", "coopetition_interp", "figures", "--out", str(tmp_path)],
        cwd=CHECKPOINTS.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    page, *missing = done.stdout.splitlines()
    assert page == f"wrote {tmp_path / 'index.html'}"
    assert (tmp_path / "index.html").stat().st_size < 8e6
    for line in missing:
        lacks_its_runs = r".*: no (finished )?run of|.*: no seed has all|.*no study to draw from"
        assert re.match(rf"{lacks_its_runs}|\d+ figures? w(as|ere) not drawn", line), line

    drawn = {file.stem.removesuffix("_numbers"): file for file in tmp_path.rglob("*_numbers.csv")}
    of_induction_heads = figure_files(CHECKPOINTS.parent / "analyses" / "induction_heads")
    assert {path.stem for path in of_induction_heads} <= drawn.keys()
    for name, file in drawn.items():
        numbers = pd.read_csv(file)
        assert numbers["ours"].str.len().min() > 0, name
        assert numbers["verdict"].notna().any(), name


def test_what_is_committed_stays_small():
    size = sum(file.stat().st_size for file in CHECKPOINTS.rglob("*") if file.is_file())
    assert size < 60e6
