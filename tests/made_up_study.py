"""A small coopetition study: the plan's own runs, one short training, and made-up curves."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from analyses.coopetition import runs as coopetition
from coopetition_interp.reporting.study import Study
from coopetition_interp.sweeps.plan import PlannedRun
from coopetition_interp.training import Run, RunConfig, load_run, train
from coopetition_interp.training.run_directory import RunDirectory

FEW = 40
EVERY = 400
"""Sequences between made-up evaluations."""

Corners = tuple[tuple[float, float], ...]
"""(Thousands of sequences seen, value), straight lines between."""

CHANCE: Corners = ((0, 0.5),)
BURSTY: dict[str, Corners] = {
    "train": ((3, 0.5), (5, 0.95), (30, 0.99)),
    "icl": ((3, 0.5), (4, 0.75), (8, 0.89), (18, 0.6)),
    "ciwl": ((3, 0.5), (10, 0.85), (20, 0.97)),
    "flip": ((3, 0.5), (4.4, 0.71), (6.4, 0.5), (15, 0.04)),
    "iwl": ((0, 0.0008),),
}
NO_ICL: dict[str, Corners] = {
    "train": ((1, 0.5), (10, 0.9), (20, 0.98)),
    "icl": CHANCE,
    "ciwl": BURSTY["ciwl"],
    "flip": ((0, 0.5), (8, 0.07), (20, 0.02)),
    "iwl": ((0, 0.0008),),
}
STAYS: dict[str, Corners] = {
    **BURSTY,
    "icl_matched": ((3, 0.5), (8, 0.97)),
    "flip_matched": ((3, 0.5), (8, 0.98)),
}
LEARNS: dict[str, Corners] = {**NO_ICL, "icl": ((1, 0.5), (3, 0.95)), "flip": ((1, 0.5), (3, 0.9))}
WITH_WEIGHTS = ("main", "ciwl_only", "blocked")
"""Roles whose weights are read."""

BY_ROLE = {
    "main": BURSTY,
    "ciwl_only": NO_ICL,
    "icl_only": NO_ICL,
    "graft_of_main": LEARNS,
    "matched": STAYS,
    "blocked": NO_ICL,
    "self_attending": NO_ICL,
    "one_layer": NO_ICL,
}


def made_up_metrics(
    curves: dict[str, Corners], n_sequences: int, pace: float = 1.0
) -> pd.DataFrame:
    """Metrics as a run keeps them.

    Args:
        curves: In-context accuracy (of IWL the accuracy) by evaluator.
        n_sequences: Length of the run.
        pace: What times are multiplied with.
    """
    seen = np.arange(0, n_sequences + 1, EVERY)
    tables = []
    for name, corners in curves.items():
        places, values = np.array(corners).T
        curve = np.interp(seen / 1000, places * pace, values)
        tables.append(
            pd.DataFrame(
                {
                    "sequences_seen": seen,
                    "evaluator": name,
                    "loss": 1.5 * (1 - curve),
                    "accuracy": curve,
                    "in_context_accuracy": curve if name != "iwl" else np.nan,
                    "n_sequences": 5000,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def curves_of(planned: PlannedRun) -> dict[str, Corners]:
    """The made-up curves of a run, by what it is: as the paper has them."""
    about = planned.about
    if about["role"] in BY_ROLE:
        return BY_ROLE[about["role"]]
    if about["role"] == "graft":
        return LEARNS if about["moment"] == 1_600 else NO_ICL
    if about["role"] == "resumed":
        early = about["moment"] == 1_600
        return {**NO_ICL, "flip": ((0, 0.48), (2, 0.68 if early else 0.45), (6, 0.05))}
    if about["role"] == "positions":
        return LEARNS if about["clamped"] else NO_ICL
    assert about["role"] == "size"
    if about["n_classes"] <= 32:
        more = ((0, 0.0), (6, 0.1 if about["n_exemplars"] == 3 else 0.05))
        return {**NO_ICL, "iwl": more}
    if about["n_exemplars"] == 3:
        rises_again = ((1, 0.5), (2, 0.8), (3, 0.7), (5, 0.85))
        return {**NO_ICL, "icl": rises_again, "flip": ((1, 0.5), (2, 0.6), (4, 0.3))}
    return {name: tuple((x / 4, y) for x, y in corners) for name, corners in BURSTY.items()}


def plan(preset_name: str = "tiny") -> list[PlannedRun]:
    """Every run of the study's plan at scale "tiny" but those that need ICL."""
    scale = dataclasses.replace(
        coopetition.SCALES[preset_name],
        main={5: 32_000, 6: 32_000},
        icl_only=16_000,
        n_evaluation_sequences=FEW,
        graft_from=(0, 640, 1_600, 16_000),
    )
    planned = coopetition.plan(preset_name, scale=scale)
    return [each for each in planned if each.about["role"] != "ablated"]


def make_study(path: Path) -> Study:
    """Every run of the plan, with made-up curves.

    Main's weights are those of one short training; the other seed's are main's disturbed.
    """
    made: dict[str, Run] = {}
    for planned in plan():
        made[planned.name] = _make_run(planned, path / planned.name, made)
    return Study(path, plan())


def _make_run(planned: PlannedRun, path: Path, made: dict[str, Run]) -> Run:
    config = planned.resolve({need: made[need] for need in planned.needs})
    main = next(iter(made.values()), None)
    is_first = main is None
    if main is None:
        main = train(_shortened(config), path, progress=False)
    with RunDirectory(path) as directory:
        directory.write_config(config, main.resolved)
        if not is_first:
            if planned.about["role"] in WITH_WEIGHTS:
                _write_weights(directory, config, main)
            directory.write_status("finished", config.n_sequences)
        pace = 1.0 if config.model.init_seed == 5 else 1.1
        metrics = made_up_metrics(curves_of(planned), config.n_sequences, pace)
        directory.write_metrics(metrics)
    return load_run(path)


def _shortened(config: RunConfig) -> RunConfig:
    """Main's config, for seconds: as many sequences in fewer steps, uncompiled."""
    return config.replace(batch_size=320, compile="no", evaluate_at={"every": 16_000})


def _write_weights(directory: RunDirectory, config: RunConfig, main: Run) -> None:
    """Main's weights disturbed, at its moments and those the config names."""
    generator = torch.Generator().manual_seed(config.model.init_seed)
    for seen in {*config.checkpoint_at.at, *main.checkpoints, config.n_sequences}:
        if seen > config.n_sequences:
            continue
        weights = {
            name: tensor * (1 + 0.05 * torch.randn(tensor.shape, generator=generator))
            for name, tensor in main.weights(main.nearest_checkpoint(float(seen))).items()
        }
        directory.write_tensors(directory.checkpoint_path(seen), weights, {})


@cache
def made_up_study(folder: Path) -> Study:
    """The study, made once in a session's folder."""
    return make_study(folder / "made-up-study")
