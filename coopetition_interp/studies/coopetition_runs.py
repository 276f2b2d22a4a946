"""Which runs of the coopetition sweep stand for a claim: one of each initialisation."""

from __future__ import annotations

from coopetition_interp.analysis.landmarks import Landmarks, landmarks
from coopetition_interp.studies.study import Study
from coopetition_interp.sweeps.coopetition import MAIN_INIT_SEED, OTHER_INIT_SEEDS

PREFIX_OF_SEED = {
    MAIN_INIT_SEED: "",
    **{seed: f"seeds/init-{seed}/" for seed in OTHER_INIT_SEEDS},
}
"""Where the runs of each initialisation are in the sweep."""


def of_seeds(study: Study, name: str) -> dict[int, str]:
    """The finished runs of this name, such as "main" or "grafts/main-end", by initial seed."""
    runs = {seed: f"{prefix}{name}" for seed, prefix in PREFIX_OF_SEED.items()}
    missing = set(study.missing(runs.values()))
    return {seed: run for seed, run in runs.items() if run not in missing}


def first_and_seeds(study: Study, name: str) -> list[str]:
    """The run of the main seed, whether it is there or not, and those of others that are."""
    return [name, *(run for run in of_seeds(study, name).values() if run != name)]


def starting_with(study: Study, prefix: str, seed: int = MAIN_INIT_SEED) -> dict[str, str]:
    """Finished runs of one initialisation by what follows a prefix such as "resumed/ciwl-only-"."""
    whole = f"{PREFIX_OF_SEED[seed]}{prefix}"
    return {run.removeprefix(whole): run for run in study.runs if run.startswith(whole)}


def landmarks_of(study: Study, run: str) -> Landmarks:
    """Landmarks of a run's metrics."""
    return landmarks(study.metrics(run))
