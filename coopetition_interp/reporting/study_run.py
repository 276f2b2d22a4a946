"""A run of a study: what it is, and its config, metrics and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from coopetition_interp.training import Run, RunConfig

if TYPE_CHECKING:
    from coopetition_interp.reporting.study import Study


@dataclass(frozen=True)
class StudyRun:
    """A run of a study.

    Attributes:
        study: Where it lies: the study's own directory, or an earlier copy.
        name: Its directory in the study's.
        about: What it is: its role, seeds, and what else the plan says of it.
    """

    study: Study
    name: str
    about: Mapping[str, Any]

    @property
    def init_seed(self) -> int:
        """Seed of its initialisation."""
        return int(self.about["init_seed"])

    @property
    def run(self) -> Run:
        """The run with its weights; a packed study keeps those of few runs.

        Raises:
            StudyError: The study was packed without them.
        """
        return self.study.load(self.name)

    @property
    def is_finished(self) -> bool:
        """Whether it is there to be measured."""
        return self.study.is_finished(self.name)

    @property
    def digest(self) -> str:
        """See `run_digest`."""
        return self.study.digest(self.name)

    @property
    def config(self) -> RunConfig:
        """What was run."""
        return self.study.config(self.name)

    @property
    def setting(self) -> str:
        """Features and learning rate, in words."""
        config = self.config.to_dict()
        features = config.get("features")
        told = ""
        if isinstance(features, Mapping):  # a task of one's own may call something else so
            told = Path(features.get("path", "")).stem or features.get("kind", "")
        rate = f"learning rate {config['optimizer']['learning_rate']:g}"
        return ", ".join(filter(None, [told.replace("_", " "), rate]))

    @property
    def metrics(self) -> pd.DataFrame:
        """A row per moment and evaluator."""
        return self.study.metrics(self.name)
