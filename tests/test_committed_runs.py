"""The runs under checkpoints/ load, and their weights give the metrics that are saved with them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coopetition_interp.analysis.landmarks import landmarks
from coopetition_interp.figures.coopetition.all_figures import STUDY_FIGURES
from coopetition_interp.figures.every_figure import ON_REAL_FEATURES
from coopetition_interp.studies import Study
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


@pytest.mark.parametrize("name", ["laptop", "omniglot"])
def test_in_context_learning_emerges_and_gives_way(name):
    run = load_run(CHECKPOINTS / name)
    assert run.config.with_overrides([]) == run.config
    found = landmarks(run.metrics)
    assert found.flip_peak.value > 0.6
    assert found.flip_peak.sequences_seen < found.crossing < found.sequences_seen
    assert found.final["flip"] < 0.5
    assert found.icl_peak.value > 0.85
    assert len(run.checkpoints) == 4


def test_laptops_last_weights_give_its_last_metrics():
    run = load_run(CHECKPOINTS / "laptop")
    sequences = {name: run.evaluation_sequences[name][:1000] for name in ("icl", "flip", "ciwl")}
    scores = evaluate(run.model("last"), sequences).set_index("evaluator").in_context_accuracy
    last = run.metrics[run.metrics.sequences_seen == run.checkpoints[-1]].set_index("evaluator")
    # A fifth of the sequences: four standard errors of a difference of accuracies.
    for name in sequences:
        assert abs(scores[name] - last.in_context_accuracy[name]) < 0.06


def test_the_committed_coopetition_studies_draw_their_figures():
    for name, figures in (
        ("coopetition", STUDY_FIGURES),
        ("coopetition-omniglot", ON_REAL_FEATURES),
    ):
        study = Study(CHECKPOINTS / name, "coopetition")
        for figure in figures:
            assert len(STUDY_FIGURES[figure](study).entry.figure.data) > 0


def test_what_is_committed_stays_small():
    size = sum(file.stat().st_size for file in CHECKPOINTS.rglob("*") if file.is_file())
    assert size < 60e6
