"""A run's small copy: config, metrics and a few checkpoints, for sharing and for figures."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from coopetition_interp.analysis.checkpoints import Checkpoints, chosen_checkpoints
from coopetition_interp.analysis.moments import Moments, moments_of
from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.files.regular_file import UnreadableFileError, read_regular
from coopetition_interp.files.tensor_file import not_finite_floats
from coopetition_interp.training import Run, RunError, load_run
from coopetition_interp.training.run_directory import RunDirectory

COPIED = ("metrics.csv", "environment.json", "resolved.json", "status.json", "config.json")
"""Small files of a run; the config last, for a directory with a config is a whole copy."""


def checkpoints_at_moments(run: Run) -> list[int]:
    """The kept checkpoints nearest to a run's start, Flip's peak and crossing, and its end.

    A run that has no such evaluators has no such moments: its first and last are kept.
    """
    metrics = run.metrics
    has_moments = not metrics.empty and {"icl", "flip"} <= set(metrics["evaluator"])
    found = moments_of(metrics) if has_moments else Moments()
    run.checkpoint_path("last")  # says so if there is none
    moments = [0.0, found.peak, found.crossing, float(run.checkpoints[-1])]
    return sorted({run.nearest_checkpoint(moment) for moment in moments if moment is not None})


def thin_run(
    run: Run, out: str | Path, moments: Checkpoints = None, half_precision: bool = True
) -> Run:
    """Copies a run with only some of its checkpoints, and without what a resume needs.

    Args:
        run: The run.
        out: Directory of the copy; must not hold a run.
        moments: Checkpoints to keep, as for `checkpoint_models`; by default those of
            `checkpoints_at_moments`.
        half_precision: Store weights as float16, in half the space; they are read as float32.

    Raises:
        RunError: `out` holds a run, a moment has no checkpoint, or its weights are too large for
            half precision.
    """
    kept = checkpoints_at_moments(run) if moments is None else chosen_checkpoints(run, moments)
    files = {name: _content(run.path / name) for name in COPIED}
    with RunDirectory(out) as copy:
        copy.require_new()
        for seen in kept:
            weights: dict[str, Tensor] = run.weights(seen)
            if half_precision:
                weights = {name: weight.half() for name, weight in weights.items()}
                if problem := not_finite_floats(weights):
                    raise RunError(
                        f"the checkpoint of {run.path} at {seen} sequences does not fit half "
                        f"precision ({problem}): copy it with half_precision=False"
                    )
            copy.write_tensors(copy.checkpoint_path(seen), weights, {"sequences_seen": str(seen)})
        for name, content in files.items():
            with atomic_file(copy.path / name) as file:
                file.write_bytes(content)
    (Path(out) / "in_use.lock").unlink(missing_ok=True)
    return load_run(out)


def _content(path: Path) -> bytes:
    try:
        return read_regular(path)
    except FileNotFoundError as error:
        raise RunError(f"{path.parent} has no {path.name}: it has not finished") from error
    except UnreadableFileError as error:
        raise RunError(str(error)) from error
