"""What a run writes of itself while it trains, and how it is put back where it was."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from torch import Tensor, nn

from coopetition_interp.interventions.model_weights import weights_of
from coopetition_interp.one_line import one_line
from coopetition_interp.training.going_on import resume_call
from coopetition_interp.training.metrics_table import problem_of_scores
from coopetition_interp.training.optimizer_state import OptimizerState
from coopetition_interp.training.run_config import RunConfig
from coopetition_interp.training.run_directory import RunDirectory, RunError, read_tensors
from coopetition_interp.training.same_run import require_same_config
from coopetition_interp.training.weights_and_biases import MetricsLog

SECONDS_BETWEEN_RESUME_SAVES = 30.0


class NonFiniteLossError(RunError):
    """The loss or the weights became NaN or infinite."""


@runtime_checkable
class Stepping(Protocol):
    """A training step, as far as what is recorded goes."""

    state: OptimizerState


class RunRecord:
    """What a run has written so far, and the writing of it.

    Args:
        directory: The run's.
        config: The run's.

    Attributes:
        last_moment: The latest step at which all that was due there was done; -1 before the first.
        steps_saved: The step that a resume would go on from.
        metrics: The table so far.
    """

    def __init__(self, directory: RunDirectory, config: RunConfig):
        self.directory = directory
        self.batch_size = config.batch_size
        self._config = config
        self._save: tuple[dict[str, Tensor], dict[str, str]] | None = None
        self.last_moment = -1
        self.steps_saved = 0
        self.metrics = pd.DataFrame()
        self._loss_sum = 0.0
        self._n_losses = 0
        self._saved_at = monotonic()

    def read_save(self) -> None:
        """Reads the latest save, if there is one, for `restore`.

        Raises:
            RunError: It is damaged, or was saved under another config.
        """
        path = self.directory.resume_path
        if not path.exists():
            return
        self._save = read_tensors(path)
        if (text := self._save[1].get("config")) is not None:  # older saves lack it
            require_same_config(_config_of_save(text, path), self._config.to_dict(), path)

    def restore(self, step: Stepping) -> None:
        """Puts `step` where the save that was read left it, and drops metrics from after that.

        Raises:
            RunError: The save is not of this run, or metrics from before it are gone.
        """
        if self._save is None:
            return
        path, (tensors, metadata), self._save = self.directory.resume_path, self._save, None
        n_steps = self._config.n_steps
        try:
            step.state.load_buffers(tensors, int(metadata["steps_done"]))
            self._loss_sum = float.fromhex(metadata["loss_sum"])
            self._n_losses = int(metadata["n_losses"])
            # Until it was noted, all that was due was done before a save.
            self.last_moment = int(metadata.get("last_moment", metadata["steps_done"]))
            if self.last_moment > step.state.steps_done:
                raise ValueError("its last_moment is after its steps_done")
        except (KeyError, ValueError) as error:
            raise RunError(
                f"{path} is not a save of this run ({error}): put back the right one, or remove it "
                "to begin from the first step"
            ) from error
        self.steps_saved = step.state.steps_done
        if self.steps_saved > n_steps:
            raise RunError(
                f"{path} was saved after {self.steps_saved * self.batch_size} sequences, but "
                f"config.json ends the run after {n_steps * self.batch_size}: put back its "
                "n_sequences"
            )
        metrics = self.directory.read_metrics()
        if len(metrics):
            kept = metrics.sequences_seen <= self.last_moment * self.batch_size
            self.metrics = metrics[kept]
        there = self._n_evaluations
        if (made := int(metadata.get("n_evaluations", there))) != there:  # older saves lack it
            raise self.directory.damaged_metrics(
                f"{self.directory.metrics_path} has {there} of the {made} evaluations that had "
                "been made when the run was saved"
            )

    @property
    def _n_evaluations(self) -> int:
        return self.metrics["sequences_seen"].nunique() if len(self.metrics) else 0

    def add_losses(self, losses: Sequence[Tensor] | Tensor, step: Stepping) -> None:
        """Adds up the training loss of the latest steps, and checks what they made.

        Raises:
            NonFiniteLossError: Naming the first step whose loss is not finite, or the parameter
                that is not, or whose moments are not.
        """
        if not isinstance(losses, Tensor):
            losses = torch.stack([*losses]) if losses else torch.empty(0)
        values = losses.tolist()
        for index, value in enumerate(values, step.state.steps_done - len(values)):
            if not math.isfinite(value):
                raise self._not_finite(f"the loss is {value}", index)
            self._loss_sum += value
        self._n_losses += len(values)
        if name := step.state.not_finite():
            raise self._not_finite(f"{name} is not finite", step.state.steps_done)

    def add_evaluation(
        self, scores: pd.DataFrame, steps_done: int, log: MetricsLog, l2_penalty: float = 0.0
    ) -> None:
        """Appends an evaluation to the metrics and saves them.

        "training_loss" is the mean over the steps since the evaluation before, without any
        penalty; "l2_penalty", where there is one, what the weights add to it now.

        Raises:
            RunError: They cannot be appended; what was saved before is kept.
        """
        if problem := problem_of_scores(scores, self.metrics):
            raise RunError(f"the run's evaluators at {steps_done * self.batch_size}: {problem}")
        training_loss = self._loss_sum / self._n_losses if self._n_losses else math.nan
        self._loss_sum, self._n_losses = 0.0, 0
        # float32 columns would be written otherwise after a resume, beside what was read back.
        narrow = scores.select_dtypes("float32").columns
        rows = scores.astype(dict.fromkeys(narrow, "float64"))
        rows.insert(0, "sequences_seen", steps_done * self.batch_size)
        rows["training_loss"] = training_loss
        if l2_penalty > 0:
            rows["l2_penalty"] = l2_penalty
        tables = [table for table in (self.metrics, rows) if len(table)]
        self.metrics = pd.concat(tables, ignore_index=True)
        self.directory.write_metrics(self.metrics)
        log.write(rows)

    def headline(self, config: RunConfig) -> dict[str, str]:
        """Latest score of each evaluator that has a headline, for the progress bar."""
        latest = self.metrics[self.metrics.sequences_seen == self.metrics.sequences_seen.max()]
        shown = config.headline
        return {
            row["evaluator"]: f"{row[shown[row['evaluator']]]:.3f}"
            for row in latest.to_dict("records")
            if row["evaluator"] in shown
        }

    def save_checkpoint(self, model: nn.Module, steps_done: int) -> None:
        """Saves the weights, named by sequences seen.

        Raises:
            NonFiniteLossError: A weight is not finite; nothing is saved.
        """
        weights = weights_of(model)
        for name, weight in weights.items():
            if not torch.isfinite(weight).all():
                raise self._not_finite(f"{name} is not finite", steps_done)
        seen = steps_done * self.batch_size
        path = self.directory.checkpoint_path(seen)
        self.directory.write_tensors(path, weights, {"sequences_seen": str(seen)})

    @property
    def sequences_saved(self) -> int:
        """Sequences seen at the save that a resume would go on from."""
        return self.steps_saved * self.batch_size

    def resume_save_is_due(self) -> bool:
        """Whether the last save is so long ago that a kill would cost much."""
        return monotonic() - self._saved_at > SECONDS_BETWEEN_RESUME_SAVES

    def save_resume(self, step: Stepping) -> None:
        """Saves all that a resume needs, then how far the run has come."""
        metadata = {
            "steps_done": str(step.state.steps_done),
            "last_moment": str(self.last_moment),
            "loss_sum": self._loss_sum.hex(),
            "n_losses": str(self._n_losses),
            "n_evaluations": str(self._n_evaluations),
            "config": json.dumps(self._config.to_dict()),
        }
        self.directory.write_tensors(self.directory.resume_path, step.state.buffers(), metadata)
        self._saved_at = monotonic()
        self.steps_saved = step.state.steps_done
        self.note("running")

    def note(self, state: str, message: str = "") -> None:
        """Writes the run's state, with the sequences seen at the latest save."""
        self.directory.write_status(state, self.sequences_saved, message)

    def note_end(self, state: str, message: str) -> None:
        """`note` of what ended the run, unless the disk that failed it refuses that too."""
        with suppress(RunError):
            self.note(state, message)

    def note_interrupted(self, at_once: bool = False) -> str:
        """Notes that a signal ended the run.

        Args:
            at_once: Not after its step, so that only what was saved before is.

        Returns:
            What is to be told: how much is saved, and how to go on.
        """
        seen = self.sequences_saved
        go_on = f"go on by {resume_call(self.directory.path)}"
        if at_once:
            told = f"interrupted at once; {seen} sequences are saved: {go_on}"
            self.note_end("interrupted", told)
        else:
            told = f"interrupted with all saved, {seen} sequences seen: {go_on}"
            self.note("interrupted", told)
        return told

    def _not_finite(self, what: str, step: int) -> NonFiniteLossError:
        kept = self.directory.checkpoints()
        last = self.directory.checkpoint_path(kept[-1]) if kept else "none"
        return NonFiniteLossError(
            f"{what} at step {step} ({step * self.batch_size} sequences seen). The last good "
            f"checkpoint is {last}. A smaller optimizer.learning_rate is the usual mend"
        )


def told_in_one_line(error: Exception) -> str:
    """What a run's status says of an error; of one that was not foreseen also its kind."""
    kind, told = type(error).__name__, one_line(error)
    return told if isinstance(error, RunError | ValueError) or told == kind else f"{kind}: {told}"


def _config_of_save(text: str, path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise RunError(
            f"{path} is not a save of a run (its config is no JSON): put back the right one, or "
            "remove it to begin from the first step"
        ) from error
