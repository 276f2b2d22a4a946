"""Whether a run that is there is the one that a plan has now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coopetition_interp.sweeps.plan import PlannedRun
from coopetition_interp.training import RunConfig, RunError
from coopetition_interp.training.overrides import dotted_fields
from coopetition_interp.training.run_config import NOT_TRAINED_BY
from coopetition_interp.training.run_directory import RunDirectory
from coopetition_interp.training.run_state import state_of

MEASURED = ("evaluators", "evaluation_seed", "evaluate_at", "checkpoint_at")


def difference(there: RunConfig, wanted: RunConfig, but: Sequence[str] = ()) -> str:
    """What is to be said of a run whose config is not the planned one; nothing if it is.

    Args:
        there: The run's.
        wanted: The planned one.
        but: Fields that may differ.
    """
    old, new = (dict(dotted_fields(each.to_dict(whole=True))) for each in (there, wanted))
    fields = [
        name
        for name in old | new
        if old.get(name) != new.get(name) and name.partition(".")[0] not in but
    ]
    if not fields:
        return ""
    mend = "choose another directory for the sweep, or remove that run"
    if fields == ["n_sequences"] and there.n_sequences < wanted.n_sequences:
        mend = (
            "make it longer by `coopetition-interp train --resume DIR --until "
            f"{wanted.n_sequences}`, or {mend}"
        )
    return (
        f"was begun with another config than the sweep plans now (in {', '.join(fields)}): {mend}"
    )


def other_config(planned: PlannedRun, path: Path, but: Sequence[str] = ()) -> str:
    """`difference` of a run that is there; of one made from others' checkpoints, nothing.

    Such a config holds their paths, which change when a sweep is moved, and making it can take
    loading and measuring models. A finished run is the planned one if it was trained so, whatever
    was measured and kept on the way, and also if it was then made longer.
    """
    if not isinstance(planned.config, RunConfig):
        return ""
    try:
        there, wanted = RunDirectory(path).read_config(), planned.resolve({})
        if state_of(path) == "finished":
            but = (*but, *MEASURED, *NOT_TRAINED_BY)
            if there.n_sequences > wanted.n_sequences:
                but = (*but, "n_sequences")
        differs = difference(there, wanted, but)
    except (ValueError, RunError) as error:
        return str(error)
    return f"{path} {differs}" if differs else ""
