"""Which runs of the coopetition sweep stand for a claim: one of each initialisation."""

from __future__ import annotations

import pandas as pd

from coopetition_interp.analysis.landmarks import Landmarks, landmarks
from coopetition_interp.studies.study import Study
from coopetition_interp.sweeps.coopetition import MAIN_INIT_SEED, OTHER_INIT_SEEDS


def prefix_of_seed(study: Study) -> dict[int, str]:
    """Where the runs of each initialisation are in the sweep, by initial seed, main's first.

    Of a single run the seed is its own.
    """
    main = MAIN_INIT_SEED
    if not study.missing(["main"]):
        main = study.config("main").model.init_seed
    others = {seed: f"seeds/init-{seed}/" for seed in OTHER_INIT_SEEDS if seed != main}
    return {main: "", **others}


def of_seeds(study: Study, name: str) -> dict[int, str]:
    """The finished runs of this name, such as "main" or "grafts/main-end", by initial seed."""
    runs = {seed: f"{prefix}{name}" for seed, prefix in prefix_of_seed(study).items()}
    missing = set(study.missing(runs.values()))
    return {seed: run for seed, run in runs.items() if run not in missing}


def first_and_seeds(study: Study, name: str) -> list[str]:
    """The run of the main seed, whether it is there or not, and those of others that are."""
    return [name, *(run for run in of_seeds(study, name).values() if run != name)]


def starting_with(study: Study, prefix: str, of_seed: str = "") -> dict[str, str]:
    """Finished runs of one initialisation by what follows a prefix such as "resumed/ciwl-only-".

    Args:
        study: The study.
        prefix: What the runs' names start with, after the initialisation's own prefix.
        of_seed: That prefix, see `prefix_of_seed`; the main seed's by default.
    """
    whole = f"{of_seed}{prefix}"
    return {run.removeprefix(whole): run for run in study.runs if run.startswith(whole)}


def of_main(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the main run, in a table of `per_seed`, where they come first."""
    return table[table["seed"] == table["seed"].iloc[0]]


def landmarks_of(study: Study, run: str) -> Landmarks:
    """Landmarks of a run's metrics."""
    return landmarks(study.metrics(run))
