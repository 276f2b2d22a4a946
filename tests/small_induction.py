"""A small induction-head study: the sweep's own plan, short trainings, and made-up metrics."""

from __future__ import annotations

import dataclasses
import os
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from analyses.induction_heads.curves import CURVE_COLUMNS
from analyses.induction_heads.runs import plan
from coopetition_interp.reporting.figure_file import FigureFile, figure_files
from coopetition_interp.reporting.measure import Measure
from coopetition_interp.reporting.pack import pack_study
from coopetition_interp.reporting.study import Study
from coopetition_interp.tasks.exemplar_label.features import GaussianFeatures
from coopetition_interp.tasks.exemplar_label.sequences import induction_evaluators
from coopetition_interp.training import Run, RunConfig, Schedule, train
from coopetition_interp.training.run_directory import RunDirectory

FOLDER = Path(__file__).parents[1] / "analyses" / "induction_heads"
FIGURES = [path.stem for path in figure_files(FOLDER)]
FEW = 64
SEEDS = (5, 6, 7)
FEATURES = GaussianFeatures(n_classes=1_620, n_exemplars=2, d_feature=8)
LOG_2 = np.log(2)
SEEN = np.arange(0, 1_000_001, 10_000)

EXPONENTIAL = ("clamps/match", "clamps/steps-1-2-and-copy")
LATE = 20_000  # width of the logistic falls, but for SHORT
SHORT = {"clamps/steps-1-2": 7_500, "clamps/copy": 7_500}


def falls_at(what: str) -> float:
    """Middle of a run's fall: as the thesis has it, in the order its figures are about."""
    rules = [
        ("grafts/layer-0-of-own", 100_000),
        ("grafts/", 300_000),
        ("previous-token/all", 900_000),
        ("clamps/", 300_000),
        ("previous-token/", 310_000),
        ("scaling/", 200_000),
    ]
    if what.startswith("single-head/head-"):
        return 320_000 + 10_000 * int(what[-1])
    if what.startswith("pairs/"):
        return 250_000 + 5_000 * (3 * int(what[-1]) % 8)
    return next((middle for start, middle in rules if what.startswith(start)), 200_000)


def made_up_metrics(name: str) -> pd.DataFrame:
    """A loss that falls from log 2, by a logistic or, for some runs, an exponential curve."""
    _, _, what = name.partition("/")
    if what in EXPONENTIAL or what.endswith("copy-left"):
        left = np.exp(-SEEN / 50_000)
    else:
        left = 1 / (1 + np.exp((SEEN - falls_at(what)) / SHORT.get(what, LATE)))
    left = left.round(6)  # as many digits as a packed copy keeps: the same runs are the lowest
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
    """Every run of the plan; the main ones trained, and their weights where others are read."""
    planned_runs = [
        dataclasses.replace(planned, config=shortened(planned.resolve({})))
        if planned.about["role"] == "main"
        else planned
        for planned in plan(FEATURES, SEEDS)
    ]
    mains: dict[str, Run] = {}
    for planned in planned_runs:
        run = path / planned.name
        config = planned.resolve({need: mains[need] for need in planned.needs})
        if planned.about["role"] == "main":
            mains[planned.name] = train(config, run, progress=False)
            continue
        main = mains[f"seed-{planned.about['init_seed']}/main"]
        with RunDirectory(run) as directory:
            directory.write_config(config, main.resolved)
            directory.write_metrics(made_up_metrics(planned.name))
            directory.write_status("finished", config.n_sequences)
        if planned.about["role"] == "single_head":
            shutil.copytree(main.path / "checkpoints", run / "checkpoints", copy_function=os.link)
    return Study(path, planned_runs)


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


def load(name: str) -> FigureFile:
    """A figure's file, whose measures take few sequences."""
    figure = FigureFile.load(FOLDER / f"{name}.py")
    for measure in vars(figure.module).values():
        if isinstance(measure, Measure) and "n_sequences" in measure.parameters:
            few = {**measure.parameters, "n_sequences": FEW}
            object.__setattr__(measure, "parameters", few)
    return figure


@cache
def small_study(folder: Path) -> Study:
    """The small study, made once in a session's folder."""
    return make_small_study(folder / "small-study" / "sweep")


@cache
def packed_small_study(folder: Path) -> Study:
    """Its packed copy, with every figure's tables, likewise."""
    study = small_study(folder)
    for name in FIGURES:
        load(name).draw(study)
    columns = [column for column in CURVE_COLUMNS if column != "sequences_seen"]
    return pack_study(study, folder / "small-study-packed", columns)
