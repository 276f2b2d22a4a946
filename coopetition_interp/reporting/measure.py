"""A measure of a run, whose result is kept by everything that decides it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from coopetition_interp.training import Run
from coopetition_interp.training.run_config import NOT_TRAINED_BY


@dataclass(frozen=True)
class Measure:
    """A function of a run that gives a tidy table.

    Attributes:
        function: Takes a run (or several), and the parameters by name.
        version: Raised by hand whenever the code behind the function changes what it gives.
        parameters: What it is called with, besides the run; in JSON's types.
    """

    function: Callable[..., pd.DataFrame]
    version: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The function's name, under which tables are kept."""
        return self.function.__name__

    @property
    def function_in_words(self) -> str:
        """Which function it is, wherever its file lies; any notebook is the same."""
        module = sys.modules.get(self.function.__module__)
        file = getattr(module, "__file__", None)
        return f"{self.name} of {Path(file).name if file else 'a notebook'}"

    def __call__(self, *runs: Run) -> pd.DataFrame:
        """The table, computed."""
        return self.function(*runs, **self.parameters)

    def key(self, run_digests: Sequence[str]) -> str:
        """What decides the table, in 16 hexadecimal digits.

        Args:
            run_digests: Of each run that is measured, see `run_digest`.
        """
        decides = [self.name, self.version, dict(self.parameters), *run_digests]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def measure(
    version: int = 1, **parameters: Any
) -> Callable[[Callable[..., pd.DataFrame]], Measure]:
    """Makes a function of a run a `Measure`.

    Args:
        version: See `Measure`.
        **parameters: See `Measure`.
    """
    return lambda function: Measure(function, version, parameters)


def run_digest(run: Run) -> str:
    """What a run is, in 16 hexadecimal digits: config, length, checkpoints and last weights.

    The same run moved elsewhere has the same digest: of the files its config names only the names
    count, since the weights tell what was in them.
    """
    config = {k: v for k, v in run.config.to_dict().items() if k not in NOT_TRAINED_BY}
    known = [_without_folders(config), run.status["sequences_seen"], run.checkpoints]
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    if run.checkpoints:
        for name, weight in sorted(run.weights("last").items()):
            digest.update(name.encode())
            digest.update(weight.numpy().tobytes())
    return digest.hexdigest()[:16]


def _without_folders(value: Any) -> Any:
    """Texts that are paths by their last part, all the way down."""
    if isinstance(value, dict):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return value.rpartition("/")[2] if isinstance(value, str) else value
