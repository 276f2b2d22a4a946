"""Evaluation: of one full-size model, and of a run's checkpoints."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import torch

from coopetition_interp.analysis.checkpoints import evaluate_checkpoints
from coopetition_interp.benchmark.contenders import OURS, OurStep, full_size
from coopetition_interp.benchmark.side_by_side import Effort, Row, side_by_side
from coopetition_interp.tasks.exemplar_label.evaluation import Scorer, evaluate, evaluate_with
from coopetition_interp.tasks.exemplar_label.sequences import (
    make_evaluation_sequences,
    standard_evaluators,
)
from coopetition_interp.tasks.presets import preset
from coopetition_interp.training import Run, Schedule, train


def benchmark_evaluation(effort: Effort, device: torch.device) -> list[Row]:
    """Five evaluators of 5000 sequences on one full-size model."""
    part = "evaluation, full size"
    setting = full_size(device)
    sequences = make_evaluation_sequences(
        setting.bank,
        setting.bank.split(),
        standard_evaluators(),
        seed=0,
        n_labels=setting.sampler.n_labels,
    )
    model = setting.model()
    every_metric = Scorer(model, compile=True)
    in_context = Scorer(model, metrics="in_context", compile=True)
    every, alone = "all metrics", "in-context accuracy alone"
    times = side_by_side(
        {
            OURS: OurStep(setting),
            every: lambda: evaluate_with(every_metric, sequences),
            alone: lambda: evaluate_with(in_context, sequences),
        },
        effort,
    )
    thousands = sum(len(each) for each in sequences.values()) / 1000
    per_thousand = times.ratio(every, OURS) / thousands
    return [
        *times.rows(part),
        Row(part, "all metrics, training steps per 1000 sequences", per_thousand, "x"),
        Row(part, "in-context accuracy alone, times faster", times.ratio(every, alone), "x"),
    ]


def benchmark_checkpoints(effort: Effort, device: torch.device) -> list[Row]:
    """Every checkpoint of a small run, in one call and by a loop of one's own."""
    part = "a small run's checkpoints"
    at_once, one_by_one = "evaluate_checkpoints", "a loop over models"
    with tempfile.TemporaryDirectory() as directory:
        config = preset("tiny").replace(
            n_sequences=1_600,
            device=device.type,
            evaluate_at=Schedule(),
            checkpoint_at=Schedule(every=160),
        )
        run = train(config, Path(directory) / "run", progress=False)
        sequences = run.evaluation_sequences

        def loop(run: Run = run) -> pd.DataFrame:
            models = [run.model(seen) for seen in run.checkpoints]
            return pd.concat([evaluate(model, sequences) for model in models])

        times = side_by_side({at_once: lambda: evaluate_checkpoints(run), one_by_one: loop}, effort)
        n_checkpoints = len(run.checkpoints)
    scored = n_checkpoints * sum(len(each) for each in sequences.values())
    seconds = [row.value / 1e3 for row in times.rows(part)]
    return [
        Row(part, "checkpoints", n_checkpoints, ""),
        Row(part, "sequences per checkpoint", scored / n_checkpoints, ""),
        *times.rows(part),
        Row(part, f"{at_once}: a checkpoint", 1e3 * seconds[0] / n_checkpoints, "ms"),
        Row(part, f"{at_once}, times the speed of the loop", times.ratio(one_by_one, at_once), "x"),
    ]
