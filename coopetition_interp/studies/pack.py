"""A study's small copy: tables, metrics and configs of all runs, and a thinned main run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from coopetition_interp.analysis.thin_run import thin_run
from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.files.regular_file import read_json_object
from coopetition_interp.studies.contents import COOPETITION, StudyContents
from coopetition_interp.studies.study import MissingRunsError, Study, StudyError, write_table
from coopetition_interp.training import Run
from coopetition_interp.training.run_directory import RunDirectory


def pack_study(
    study: Study,
    out: str | Path,
    allow_missing: bool = False,
    contents: StudyContents = COOPETITION,
) -> list[str]:
    """Copies what a study's figures need, a few megabytes in all.

    The copy holds `study.json` (each run's config, what the config left open, and status),
    `metrics.csv` (of all runs, with a column `run`), `tables/`, and `main/`, the main run with a
    few checkpoints in half precision. Paths in configs are cut to what means something elsewhere: a
    feature file's name, a donor's place in the study. So a reader of the thin main run's weights
    needs its feature file in the working directory.

    Args:
        study: The whole study, with its weights.
        out: Directory of the copy; an earlier copy there is replaced.
        allow_missing: Leave out tables whose runs are not finished.
        contents: What belongs to a study of this sweep.

    Returns:
        Names of the tables left out.

    Raises:
        MissingRunsError: Runs are missing; without the main run there is no copy at all.
        StudyError: The study is a packed one itself, or `out` holds something else.
    """
    out = Path(out)
    if study.packed:
        raise StudyError(f"{study.path} is packed already: give the sweep's directory")
    _clear(out, study)
    study.require(["main"], "packing a study")
    left_out = []
    for table in contents.tables:
        try:
            study.table(table)
        except MissingRunsError:
            if not allow_missing:
                raise
            left_out.append(table.name)
        else:
            (out / "tables").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(study.table_path(table), out / "tables" / f"{table.name}.csv")
    columns = list(contents.metric_columns)
    metrics = [study.metrics(name)[columns].assign(run=name) for name in study.runs]
    write_table(pd.concat(metrics, ignore_index=True), out / "metrics.csv")
    main = thin_run(study.run("main"), out / "main", contents.main_moments(study.run("main")))
    config = _portable(study.run("main"), study.path)
    with atomic_file(main.path / "config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    # Last: a directory with an index is a whole copy.
    index = {name: _described(study.run(name), study.path) for name in study.runs}
    with atomic_file(out / "study.json") as temporary:
        temporary.write_text(json.dumps({"runs": index}, indent=1) + "\n", encoding="utf-8")
    return left_out


def _clear(out: Path, study: Study) -> None:
    if not out.exists() or not any(out.iterdir()):
        return
    if not Study(out).packed or out.resolve() == study.path.resolve():
        raise StudyError(f"{out} holds something else than a packed study: choose another place")
    (out / "study.json").unlink()
    (out / "metrics.csv").unlink(missing_ok=True)
    for folder in ("main", "tables"):
        shutil.rmtree(out / folder, ignore_errors=True)


def _described(run: Run, study: Path) -> dict[str, Any]:
    return {"config": _portable(run, study), "resolved": run.resolved, "status": run.status}


def _portable(run: Run, study: Path) -> dict[str, Any]:
    """A run's config without any path of the machine it ran on."""
    config = read_json_object(RunDirectory(run.path).config_path)
    features = config["features"]
    for field in ("path", "root"):
        if features.get(field):
            features[field] = Path(features[field]).name
    config["clamps"] = [_portable_clamp(clamp, study) for clamp in config["clamps"]]
    if config["start_from"]:
        config["start_from"] = _portable_checkpoint(config["start_from"], study)
    return config


def _portable_clamp(clamp: Mapping[str, Any], study: Path) -> dict[str, Any]:
    if "checkpoint" not in clamp:
        return dict(clamp)
    return {**clamp, "checkpoint": _portable_checkpoint(clamp["checkpoint"], study)}


def _portable_checkpoint(checkpoint: str, study: Path) -> str:
    path, study = Path(checkpoint).resolve(), study.resolve()
    return path.relative_to(study).as_posix() if path.is_relative_to(study) else path.name
