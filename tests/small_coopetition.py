"""A small coopetition study: the sweep's own plan, one short training, and made-up curves."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from coopetition_interp.figures import every_figure
from coopetition_interp.interventions import AblateHeads
from coopetition_interp.studies import STUDIES, Study, StudyTable, pack_study
from coopetition_interp.studies import coopetition_heads as heads
from coopetition_interp.studies import coopetition_layers as layers
from coopetition_interp.studies.study import write_table
from coopetition_interp.sweeps import coopetition as sweep
from coopetition_interp.sweeps import coopetition_plan
from coopetition_interp.sweeps.coopetition import FULL_SIZE, SCALES, SIZES, moment_in_name
from coopetition_interp.sweeps.sweep import PlannedRun
from coopetition_interp.tasks.exemplar_label import preset
from coopetition_interp.tasks.exemplar_label.sequences import standard_evaluators
from coopetition_interp.training import Run, RunConfig, Schedule, load_run, train
from coopetition_interp.training.run_directory import RunDirectory

SEEDS = (5, 6, 7)
N_HEADS = 2
ABLATED = (1,)
FEW = 32  # sequences of each evaluator
EVERY = 400  # sequences between evaluations

# Curves -------------------------------------------------------------------------------------

Corners = tuple[tuple[float, float], ...]
"""(Thousands of sequences seen, value), straight lines between; the paper's millions."""

CHANCE: Corners = ((0, 0.5),)


@dataclass(frozen=True)
class Curves:
    """A made-up run: in-context accuracy of its evaluators, accuracy of IWL, loss of CIWL.

    Attributes:
        slower: What times are multiplied with.
    """

    train: Corners
    icl: Corners
    ciwl: Corners
    flip: Corners
    iwl: Corners = ((0, 0.0008),)
    ciwl_loss: Corners = ((0, 4.2), (3, 1.2), (20, 0.2))
    slower: float = 1.0

    def but(self, **changes: Any) -> Curves:
        """The same with some of it changed."""
        return dataclasses.replace(self, **changes)

    def metrics(self, n_sequences: int) -> pd.DataFrame:
        """As a run keeps them."""
        seen = np.arange(0, n_sequences + 1, EVERY)

        def at(corners: Corners) -> np.ndarray:
            return np.interp(seen / 1000, *np.array(corners).T * [[self.slower], [1]])

        tables = []
        for name in ("train", "icl", "ciwl", "flip", "iwl"):
            values = at(getattr(self, name))
            columns = {
                "sequences_seen": seen,
                "evaluator": name,
                "loss": at(self.ciwl_loss) if name == "ciwl" else 1.5 * (1 - values),
                "accuracy": values,
                "in_context_accuracy": values if name != "iwl" else np.nan,
                "n_sequences": 5000,
            }
            tables.append(pd.DataFrame(columns))
        return pd.concat(tables, ignore_index=True)


# As in the paper's Figure 1b; CIWL's loss with the divot of Figure 5b.
BURSTY = Curves(
    train=((3, 0.5), (5, 0.95), (20, 0.986)),
    icl=((3, 0.5), (4, 0.75), (8, 0.89), (15, 0.6)),
    ciwl=((3, 0.5), (10, 0.85), (20, 0.97)),
    flip=((3, 0.5), (4.3, 0.71), (6.4, 0.5), (15, 0.04)),
    ciwl_loss=((0, 4.2), (3, 1.2), (4.4, 1.4), (20, 0.2)),
)
NO_ICL = Curves(
    train=((1, 0.5), (10, 0.9), (20, 0.98)),
    icl=CHANCE,
    ciwl=((1, 0.5), (8, 0.93), (20, 0.98)),
    flip=((0, 0.5), (8, 0.07), (20, 0.02)),
)
PERSISTENT = BURSTY.but(
    icl=((3, 0.5), (6, 0.9), (20, 0.97)), flip=((3, 0.5), (6, 0.9), (12, 0.99), (20, 1.0))
)
SLOWER = {5: 1.0, 6: 1.2, 7: 0.9}
"""Pace of the initialisations."""

OF_RUN = {
    "main": BURSTY,
    "ciwl_only": NO_ICL,
    "matched": PERSISTENT,
    "one-layer": NO_ICL,
    "previous-token-blocked": NO_ICL,
    "previous-token-heads-ablated": BURSTY.but(slower=1.5),
    "seeds/data-3/main": BURSTY.but(slower=1.02),
    "seeds/data-4/main": BURSTY.but(slower=0.98),
    "rotary": NO_ICL,
    "sinusoidal": NO_ICL,
    "sizes/12800x5": BURSTY.but(flip=((3, 0.5), (4.3, 0.62), (6, 0.5), (15, 0.04))),
    "sizes/1600x20": NO_ICL.but(icl=((3, 0.5), (6, 0.65), (15, 0.55))),
    "sizes/1600x5": NO_ICL.but(iwl=((0, 0), (16, 0.1))),
    "mlps/12800x20": BURSTY,
    "mlps/12800x5": BURSTY.but(flip=((3, 0.5), (5, 0.8), (8, 0.4), (14, 0.7))),
    "mlps/1600x20": NO_ICL,
    "mlps/1600x5": NO_ICL.but(iwl=((0, 0), (16, 0.4))),
}
GRAFTED_TO = {1_600: 0.55, 3_200: 0.85, 6_400: 0.95, 16_000: 0.6}
"""ICL's accuracy at the end, by the CIWL-only checkpoint that is grafted: the window."""

RESUMED_TO = {1_600: 0.68, 3_200: 0.58, 6_400: 0.3}
"""Flip's highest point, by the CIWL-only checkpoint that bursty training starts from."""


def icl_only(learned: float) -> Curves:
    """Training on ICL-only data, which ends at this accuracy."""
    rise: Corners = ((1, 0.5), (3, learned))
    return Curves(train=rise, icl=rise, ciwl=CHANCE, flip=rise)


def resumed(top: float) -> Curves:
    """Bursty training from a CIWL-only checkpoint, Flip's highest point given."""
    return NO_ICL.but(flip=((0, min(top, 0.5)), (2, top), (6, 0.05)), icl=((0, 0.5), (2, top)))


def curves_of(name: str) -> Curves:
    """The made-up curves of a run of the plan."""
    if name in OF_RUN:
        return OF_RUN[name]
    seed = next((seed for seed in SEEDS if name.startswith(f"seeds/init-{seed}/")), SEEDS[0])
    run = name.removeprefix(f"seeds/init-{seed}/")
    jitter = 0.005 * (seed - 6)
    if run == "icl_only":
        curves = icl_only(0.52 + jitter)
    elif run == "grafts/main-end":
        curves = icl_only(0.97 + jitter)
    elif run.startswith("grafts/"):
        curves = icl_only(GRAFTED_TO[moment_in_name(run)] + jitter)
    elif run.startswith("resumed/"):
        curves = resumed(RESUMED_TO[moment_in_name(run)] + jitter)
    else:
        curves = OF_RUN[run]
    return curves.but(slower=curves.slower * SLOWER[seed])


def in_every_seed(name: str) -> list[str]:
    """The runs of this name of all initialisations."""
    return [name, *(f"seeds/init-{seed}/{name}" for seed in SEEDS[1:])]


# The study ----------------------------------------------------------------------------------


def small_plan() -> dict[str, PlannedRun]:
    """The plan of the preset "tiny": fewer heads, other seeds' fewer moments, the paper's sizes."""
    scale = dataclasses.replace(
        SCALES["tiny"],
        full_size=FULL_SIZE,
        sizes=SIZES,
        main_every=6_400,
        evaluate_every=6_400,
        n_evaluation_sequences=FEW,
        graft_from=tuple(GRAFTED_TO),
        resume_from=tuple(RESUMED_TO),
        seeds_graft_from=(1_600, 6_400, 16_000),
        seeds_resume_from=(1_600, 6_400),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SCALES, "tiny", scale)
        patch.setattr(
            sweep, "preset", lambda name: preset(name).replace(model={"n_heads": N_HEADS})
        )
        return {planned.name: planned for planned in coopetition_plan("tiny")}


def make_small_coopetition(path: Path) -> Study:
    """Every run of the plan with made-up curves, and weights where weights are read.

    Main's are those of one short training, other initialisations' are main's disturbed, those of
    one layer are untrained.
    """
    plan = small_plan()
    main = train(shortened(plan["main"].resolve({})), path / "main", progress=False)
    with RunDirectory(main.path) as directory:
        directory.write_metrics(curves_of("main").metrics(main.config.n_sequences))
    runs: dict[str, Run] = {"main": main}
    for name, planned in plan.items():
        if name == "main":
            continue
        config = _config(planned, plan, runs)
        with RunDirectory(path / name) as directory:
            directory.write_config(config, main.resolved)
            directory.write_metrics(curves_of(name).metrics(config.n_sequences))
            directory.write_status("finished", config.n_sequences)
            _write_weights(directory, name, config, main)
        runs[name] = load_run(path / name)
    return Study(path, "coopetition")


def shortened(config: RunConfig) -> RunConfig:
    """Main's config, for seconds: as many sequences in fewer steps, uncompiled."""
    return config.replace(
        batch_size=640,
        compile="no",
        evaluators=standard_evaluators(n_sequences=FEW),
        evaluate_at=Schedule(),
    )


def _config(
    planned: PlannedRun, plan: Mapping[str, PlannedRun], runs: Mapping[str, Run]
) -> RunConfig:
    if planned.name.endswith("previous-token-heads-ablated"):
        # The plan's own heads are those that carry ICL in main: in this one, none does.
        config = plan[planned.name.replace("heads-ablated", "blocked")].resolve({})
        clamp = AblateHeads([(0, head) for head in ABLATED])
        return config.replace(name=planned.name, clamps=(clamp,))
    return planned.resolve({need: runs[need] for need in planned.needs})


def _write_weights(directory: RunDirectory, name: str, config: RunConfig, main: Run) -> None:
    seed = config.model.init_seed
    generator = torch.Generator().manual_seed(seed)
    if name.endswith("one-layer"):
        resolved = main.resolved
        model = config.model.build(resolved["d_feature"], resolved["n_labels"], 2)
        path = directory.checkpoint_path(config.n_sequences)
        directory.write_tensors(path, dict(model.named_parameters()), {})
    elif name.endswith(("ciwl_only", "/main")):
        for step in config.checkpoint_at.steps(config.n_steps, config.batch_size):
            seen = step * config.batch_size
            weights = {
                weight: tensor * (1 + 0.05 * torch.randn(tensor.shape, generator=generator))
                for weight, tensor in main.weights(main.nearest_checkpoint(float(seen))).items()
            }
            directory.write_tensors(directory.checkpoint_path(seen), weights, {})


def count_few_sequences(patch: pytest.MonkeyPatch) -> None:
    """Makes tables of few sequences and checkpoints."""
    for name in ("N_COPYING", "N_TEMPERATURE", "N_DELTAS", "N_NON_ADDITIVITY"):
        patch.setattr(heads, name, FEW)
    for name in ("N_ATTENTION", "N_ABLATION"):
        patch.setattr(layers, name, FEW)
    patch.setattr(layers, "N_CHECKPOINTS", 3)


@cache
def small_coopetition(folder: Path) -> Study:
    """The small study, made once in a session's folder."""
    return make_small_coopetition(folder / "small-coopetition" / "sweep")


@cache
def packed_small_coopetition(folder: Path) -> Study:
    """Its packed copy, with every table, likewise."""
    out = folder / "small-coopetition-packed" / "copy"
    with pytest.MonkeyPatch.context() as patch:
        count_few_sequences(patch)
        study = small_coopetition(folder)
        assert pack_study(study, out, contents=STUDIES["coopetition"]) == []
    return Study(out, "coopetition")


def changed(
    packed: Study,
    folder: Path,
    curves: Mapping[str, Curves] | None = None,
    tables: Mapping[StudyTable, pd.DataFrame] | None = None,
    without: str = "",
) -> Study:
    """A copy of a packed study in which some runs' curves, or some tables, are others.

    Args:
        packed: The study.
        folder: Where the copy goes.
        curves: By run, there before or not.
        tables: By what the study calls them.
        without: Prefix of runs that are left out, if any.
    """
    shutil.copytree(
        packed.path, folder, copy_function=os.link, ignore=shutil.ignore_patterns("main")
    )
    copy = Study(folder, "coopetition")
    for table_of, values in (tables or {}).items():
        write_table(values, copy.table_path(table_of))
    if not curves and not without:
        return copy
    index = folder / "study.json"
    runs = json.loads(index.read_text(encoding="utf-8"))["runs"]
    kept = [name for name in runs if not (without and name.startswith(without))]
    runs = {name: runs[name] for name in kept}
    made_up = []
    for name, others in (curves or {}).items():
        run = runs.setdefault(name, runs["main"])
        made_up.append(others.metrics(run["config"]["n_sequences"]).assign(run=name))
    metrics = pd.read_csv(packed.path / "metrics.csv")
    metrics = metrics[metrics["run"].isin(kept) & ~metrics["run"].isin(list(curves or {}))]
    write_table(
        pd.concat([metrics, *(m[metrics.columns] for m in made_up)]), folder / "metrics.csv"
    )
    index.unlink()  # a hard link to the other study's
    index.write_text(json.dumps({"runs": runs}), encoding="utf-8")
    return copy


@cache
def page_of_small_coopetition(folder: Path) -> tuple[Path, dict[str, str]]:
    """The page of the packed study and what is missing on it, without toy models."""
    packed = packed_small_coopetition(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(every_figure, "TOY_FIGURES", {})
        return every_figure.draw_every_figure(
            folder / "small-coopetition-page", packed, progress=False
        )
