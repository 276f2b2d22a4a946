"""What a task's config built, found to be what its run can keep and be measured by."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from coopetition_interp.config_class import ConfigError, shortened
from coopetition_interp.interventions.fields import shown
from coopetition_interp.training.run_records import ResolvedFields
from coopetition_interp.training.task import Task, by_name


def checked_task(task: Any) -> Task:
    """A task whose sequences are by name, and whose `resolved` is in JSON's types.

    Raises:
        ConfigError: It is none, or its sequences or `resolved` are something else.
    """
    if not isinstance(task, Task):
        raise ConfigError(f"the config's build() gives a Task; this one gave {shown(task)}")
    by_name(task.evaluation_sequences)
    task.resolved = _in_json(task.resolved)
    return task


def _in_json(resolved: Any) -> dict[str, Any]:
    """As it will be when it was saved and read back."""
    if not isinstance(resolved, Mapping) or not all(isinstance(name, str) for name in resolved):
        raise ConfigError(
            f"a task's resolved is a dictionary with names; got {shortened(resolved)}"
        )
    plain = {}
    for name, value in resolved.items():
        if name in ResolvedFields.__annotations__:
            raise ConfigError(f"a task's resolved: {name} is kept by every run: name it otherwise")
        try:
            plain[name] = json.loads(json.dumps(value, default=_plain, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"a task's resolved: {name} is saved in JSON, as finite numbers, texts, lists or "
                f"dictionaries; got {shortened(value)}"
            ) from error
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray | Tensor):
        return value.tolist()
    return os.fspath(value)
