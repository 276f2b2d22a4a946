"""Whether what a run would go on with is still what it was begun with."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coopetition_interp.interventions import PhasedClamps
from coopetition_interp.interventions.fields import shown
from coopetition_interp.interventions.model_weights import weights_of
from coopetition_interp.one_line import clipped
from coopetition_interp.training.overrides import dotted_fields
from coopetition_interp.training.run_config import NOT_TRAINED_BY, RunConfig
from coopetition_interp.training.run_records import RunError
from coopetition_interp.training.task import Task

_MAY_CHANGE = (*NOT_TRAINED_BY, "n_sequences", "start_from")
"""`start_from` is told by its digest; how the machine is used, by `resolved.json`."""
_WHERE_DATA_LIE = re.compile(
    r"(features|tokens|(evaluators\.\d+\.)?sequences\.class_weights)\.(path|root|cache_dir)"
)
"""Fields that say where files lie whose content has a digest in `resolved.json`."""


def require_same_data(task: Task, resolved: Mapping[str, Any], path: Path) -> None:
    """Refuses to go on with a run on other data.

    Raises:
        RunError: The run at this path was begun with others.
    """
    if any(resolved[name] != value for name, value in task.resolved.items()):
        raise RunError(
            f"the data of {path} are not those it was begun with: {task.data} have changed since; "
            "put back the original ones, or begin a new run"
        )


def digests_of_weights(config: RunConfig, task: Task, clamps: PhasedClamps) -> dict[str, str]:
    """What tells the weights that a run starts from, and those of its clamps' donors.

    Args:
        config: The run.
        task: Made of it, with the model as it starts.
        clamps: Its clamps, bound.
    """
    digests = {}
    if config.start_from is not None:
        digests["start_sha256"] = _digest([weights_of(task.model)])
    donated = [bound.donated for bound in clamps.bound if bound.donated]
    if donated:
        digests["donors_sha256"] = _digest(donated)
    return digests


def require_same_weights(
    digests: Mapping[str, str], resolved: Mapping[str, Any], config: RunConfig
) -> None:
    """Refuses to go on from, or with, weights that were written over since.

    Raises:
        RunError: They were. A run from before digests were kept is let pass.
    """
    for name, digest in digests.items():
        if resolved.get(name, digest) != digest:
            which = f"start_from ({config.start_from})"
            if name == "donors_sha256":
                which = f"the checkpoints of {', '.join(map(shown, config.clamps))}"
            raise RunError(
                f"the weights of {which} are not those that the run {config.name} was begun with: "
                "put back the original file, or begin a new run"
            )


def require_same_config(saved: Mapping[str, Any], config: Mapping[str, Any], save: Path) -> None:
    """Refuses to go on with a save under another config, whose bits no run from the start has.

    A run may be made longer, and its files may lie elsewhere.

    Args:
        saved: The config that was saved under, as `to_dict` gives it.
        config: The one to go on with.
        save: The save, for the error.

    Raises:
        RunError: Naming the first field that differs.
    """
    before, now = (dict(dotted_fields(_comparable(each))) for each in (saved, config))
    for name in {**before, **now}:
        may_change = name in _MAY_CHANGE or _WHERE_DATA_LIE.fullmatch(name)
        if not may_change and before.get(name) != now.get(name):
            was, is_now = (clipped(fields.get(name, "left out")) for fields in (before, now))
            raise RunError(
                f"{save} was saved under another config: {name} was {was} and is {is_now} in "
                "config.json. Put it back, or begin a new run"
            )


def _comparable(value: Any) -> Any:
    """With lists as groups of numbered fields, and clamps without where they and donors lie."""
    if isinstance(value, list):
        value = {str(number): each for number, each in enumerate(value)}
    if not isinstance(value, Mapping):
        return value
    left_out: tuple[str, ...] = ()
    if "kind" in value and "module" in value:
        is_graft = value["kind"] in ("GraftIn", "GraftOut")
        left_out = ("module", "checkpoint") if is_graft else ("module",)
    return {name: _comparable(each) for name, each in value.items() if name not in left_out}


def _digest(groups: list[Mapping[str, Tensor]]) -> str:
    digest = hashlib.sha256()
    for weights in groups:
        for name in sorted(weights):
            weight = weights[name].detach().cpu().contiguous()
            digest.update(f"{name} {list(weight.shape)} {weight.dtype}".encode())
            digest.update(weight.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
