"""A small copy of a study, from which every figure can be drawn without the weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.reporting.kept_table import write_table
from coopetition_interp.reporting.packed_index import (
    INDEX,
    METRICS,
    Index,
    PackedRun,
    StudyError,
)
from coopetition_interp.reporting.study import Study


def pack_study(
    study: Study, out: str | Path, metric_columns: Iterable[str] | None = None, every: int = 1
) -> Study:
    """A small copy of a study: configs, metrics, and the tables used so far; no weights.

    It also says which runs of the plan it lacks.

    Draw every figure from `study` first: what they used is what the copy keeps.

    Args:
        study: The study.
        out: A directory that is not there yet, or is empty.
        metric_columns: Columns of the metrics that are kept, of runs that have them; None for all.
        every: Keep every so many evaluations.

    Raises:
        StudyError: There is something in `out`, no run is finished, or one is another than the
            plan has now.
    """
    out = Path(out)
    metric_columns = None if metric_columns is None else list(metric_columns)
    if out.exists() and any(out.iterdir()):
        raise StudyError(f"{out} is not empty: choose another directory, or remove it")
    runs, unfinished, metrics = {}, {}, []
    for found in study.planned():
        if not found.is_finished:
            unfinished[found.name] = dict(found.about)
            continue
        if different := found.study.difference(found.name):
            raise StudyError(different)
        runs[found.name] = PackedRun(
            about=dict(found.about),
            config=found.config.to_dict(),
            digest=found.digest,
        )
        table = found.metrics
        kept = sorted(table["sequences_seen"].unique())[::every]
        table = table[table["sequences_seen"].isin([*kept, table["sequences_seen"].max()])]
        if metric_columns is not None:
            there = [column for column in metric_columns if column in table]
            table = table[["sequences_seen", "evaluator", *there]]
        metrics.append(table.assign(run=found.name))
    if not runs:
        raise StudyError(f"no run of {study.path} is finished: there is nothing to pack")
    for place, file in study.tables.used.items():
        write_table(pd.read_csv(file), out / place)
    write_table(pd.concat(metrics, ignore_index=True), out / METRICS)
    with atomic_file(out / INDEX) as temporary:
        index = Index(
            at_published_scale=study.at_published_scale,
            preset=study.preset,
            runs=runs,
            unfinished=unfinished,
        )
        temporary.write_text(index.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return Study(out)
