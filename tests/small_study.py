"""A small induction-head study: the sweep's own plan, one short training, and made-up metrics."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from coopetition_interp.studies import Study, induction_weights, pack_study
from coopetition_interp.sweeps import induction_heads_plan
from coopetition_interp.tasks.exemplar_label.features import GaussianFeatures
from coopetition_interp.tasks.exemplar_label.sequences import induction_evaluators
from coopetition_interp.training import Run, RunConfig, Schedule, load_run, train
from coopetition_interp.training.run_directory import RunDirectory

FEATURES = GaussianFeatures(n_classes=400, n_exemplars=2, d_feature=8)
LOG_2 = np.log(2)
SEEN = np.arange(0, 1_000_001, 10_000)

EXPONENTIAL = ("clamps/match", "clamps/steps-1-2-and-copy")
LATE = 20_000  # width of the logistic falls, but for SHORT
SHORT = {"clamps/steps-1-2": 7_500, "clamps/copy": 7_500}


def falls_at(name: str) -> float:
    """Middle of a run's fall: as the thesis has it, in the order its figures are about."""
    rules = [
        ("pairs/", 250_000),
        ("grafts/layer-0-of-seed-5", 100_000),
        ("grafts/", 300_000),
        ("previous-token/all", 900_000),
        ("clamps/", 300_000),
        ("previous-token/", 310_000),
        ("scaling/", 200_000),
    ]
    if "single-head/head-" in name:
        return 320_000 + 10_000 * int(name[-1])
    return next((middle for start, middle in rules if name.startswith(start)), 200_000)


def made_up_metrics(name: str) -> pd.DataFrame:
    """A loss that falls from log 2, by a logistic or, for some runs, an exponential curve."""
    if name in EXPONENTIAL or name.endswith("copy-left"):
        left = np.exp(-SEEN / 50_000)
    else:
        left = 1 / (1 + np.exp((SEEN - falls_at(name)) / SHORT.get(name, LATE)))
    columns = {
        "sequences_seen": SEEN,
        "evaluator": "train",
        "loss": LOG_2 * left,
        "accuracy": 1 - left / 2,
        "in_context_accuracy": 1 - left / 2,
        "p_right": 1 - left / 2,
        "p_right_in_context": 1 - left / 2,
        "p_context": 1.0,
        "n_sequences": 500,
        "training_loss": LOG_2 * left,
    }
    return pd.DataFrame(columns)


def make_small_study(path: Path) -> Study:
    """Every run of the plan, with the weights of one short training where weights are read."""
    plan = {planned.name: planned for planned in induction_heads_plan(FEATURES)}
    first = plan["main"].resolve({})
    main = train(shortened(first), path / "main", progress=False)
    runs: dict[str, Run] = {"main": main}
    for name, planned in plan.items():
        if name == "main":
            continue
        config = planned.resolve({need: runs[need] for need in planned.needs})
        with RunDirectory(path / name) as directory:
            directory.write_config(config, main.resolved)
            directory.write_metrics(made_up_metrics(name))
            directory.write_status("finished", config.n_sequences)
        if name.startswith("single-head/") or name.endswith("/main"):
            shutil.copytree(
                main.path / "checkpoints", path / name / "checkpoints", copy_function=os.link
            )
        runs[name] = load_run(path / name)
    return Study(path)


def shortened(config: RunConfig) -> RunConfig:
    """A run's config, for seconds: few sequences, many steps between checkpoints, uncompiled."""
    return config.replace(
        n_sequences=1_920,
        compile="no",
        optimizer={"learning_rate": 3e-3},
        evaluators=induction_evaluators(n_sequences=64),
        evaluate_at=Schedule(every=320),
        checkpoint_at=Schedule(every=640),
    )


def count_few_sequences(patch: pytest.MonkeyPatch) -> None:
    """Makes tables of few sequences."""
    for name, few in {"N_PROGRESS": 64, "N_ABLATION": 64, "N_MISTAKES": 200, "N_SHOWN": 2}.items():
        patch.setattr(induction_weights, name, few)


@cache
def small_study(folder: Path) -> Study:
    """The small study, made once in a session's folder."""
    return make_small_study(folder / "small-study" / "sweep")


@cache
def packed_small_study(folder: Path) -> Study:
    """Its packed copy, with every table, likewise."""
    out = folder / "small-study-packed" / "copy"
    with pytest.MonkeyPatch.context() as patch:
        count_few_sequences(patch)
        assert pack_study(small_study(folder), out) == []
    return Study(out)
