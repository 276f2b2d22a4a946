"""The training loop, top to bottom."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from coopetition_interp.data import FeatureBank, FeatureSplit
from coopetition_interp.evaluation import Scorer, evaluate_with
from coopetition_interp.interventions import ByPhase, PhasedClamps, bind_phases, clamp_to_dict
from coopetition_interp.model import ExemplarLabelTransformer
from coopetition_interp.sequences import Sequences, SequenceSampler, make_evaluation_sequences
from coopetition_interp.training.freed_memory import keep_freed_memory
from coopetition_interp.training.phased_training_step import PhasedTrainingStep
from coopetition_interp.training.run import Run, load_run, load_weights
from coopetition_interp.training.run_config import ConfigError, RunConfig
from coopetition_interp.training.run_directory import RunDirectory, RunError, read_tensors
from coopetition_interp.training.weights_and_biases import MetricsLog, open_metrics_log

STEPS_BETWEEN_CHECKS = 100
SECONDS_BETWEEN_RESUME_SAVES = 30.0
COMPILE_ABOVE_STEPS = 3000
COMPILE_ABOVE_SCORED = 1_000_000


class NonFiniteLossError(RunError):
    """The loss became NaN or infinite."""


@dataclass
class Task:
    """What a config describes, made: data, model and evaluation sequences.

    Attributes:
        bank: The features.
        split: Training and held-out classes and exemplars.
        sampler: Training batches by step.
        model: The freshly initialised model, on the run's device.
        evaluation_sequences: Fixed sequences by evaluator name, on the run's device.
    """

    bank: FeatureBank
    split: FeatureSplit
    sampler: SequenceSampler
    model: ExemplarLabelTransformer
    evaluation_sequences: dict[str, Sequences]


def build_task(config: RunConfig, device: torch.device) -> Task:
    """Loads the features and makes what a run needs, so that bad input shows before training.

    Raises:
        ValueError: The config contradicts the features or itself.
        FileNotFoundError: A file it names is not there.
    """
    bank = config.features.load()
    split = config.classes.split(bank)
    sampler = SequenceSampler(
        bank,
        config.sequences,
        classes=split.train_classes,
        exemplars=split.train_exemplars,
        batch_size=config.batch_size,
        seed=config.data_seed,
    )
    model = config.model.build(bank.d_feature, sampler.n_labels, config.sequences.n_pairs)
    if config.start_from is not None:
        load_weights(model, config.start_from)
    evaluation_sequences = make_evaluation_sequences(
        bank, split, config.evaluators, seed=config.evaluation_seed, n_labels=sampler.n_labels
    )
    return Task(
        bank,
        split,
        sampler,
        model.to(device, print_details=False),
        {name: sequences.to(device) for name, sequences in evaluation_sequences.items()},
    )


def bind_clamps(config: RunConfig, task: Task) -> PhasedClamps:
    """The run's clamps, tried on a batch, so that a mistake shows before training.

    Raises:
        TypeError, ValueError, FileNotFoundError: See `bind_phases`; also if one cannot be saved.
    """
    for clamp in config.clamps:
        clamp_to_dict(clamp)
    steps = range(0, config.n_steps * config.batch_size, config.batch_size)
    example = task.sampler.batch(0).to(task.model.W_exemplar.device)
    return bind_phases(config.clamps, task.model, example, steps)


def train(
    config: RunConfig,
    out: str | Path,
    *,
    progress: bool = True,
    wandb_project: str | None = None,
) -> Run:
    """Trains a model and keeps its run in a directory.

    Args:
        config: The run.
        out: A directory that holds no run yet.
        progress: Show a progress bar.
        wandb_project: Also log metrics to this Weights & Biases project.

    Returns:
        The finished run, as `load_run` gives it.

    Raises:
        ConfigError, ValueError, FileNotFoundError: Bad input, before training starts.
        RunError: The directory is taken, or a write failed.
        NonFiniteLossError: The loss became NaN; the last good checkpoint is kept.
    """
    with RunDirectory(out) as directory:
        directory.require_new()
        with cpu_threads(config.n_threads):
            device = choose_device(config.device)
            task = build_task(config, device)
            clamps = bind_clamps(config, task)
            resolved = {
                "d_feature": task.bank.d_feature,
                "n_labels": task.sampler.n_labels,
                "features_sha256": task.bank.digest(),
                "device": device.type,
                "n_threads": torch.get_num_threads(),
                "compile": should_compile(config),
            }
            directory.write_config(config, resolved)
            _train(config, resolved, task, clamps, directory, progress, wandb_project)
    return load_run(out)


def resume(
    out: str | Path,
    *,
    n_sequences: int | None = None,
    progress: bool = True,
    wandb_project: str | None = None,
) -> Run:
    """Goes on with an interrupted run, to the same weights bitwise as if it had never stopped.

    Args:
        out: The run's directory.
        n_sequences: A greater length than it was begun with, for a run that turns out too short
            (finished or not); its weights become those of a run so long from the start.
        progress: Show a progress bar.
        wandb_project: Also log metrics to this Weights & Biases project.

    Returns:
        The finished run. One that had finished already is returned as it is.

    Raises:
        RunError: No run there, a damaged one, or features that changed since it began.
        ConfigError: It cannot be made so long.
    """
    if not (Path(out) / "config.json").exists():
        raise RunError(f"{out} holds no run to resume: there is no config.json")
    with RunDirectory(out) as directory:
        config, resolved = directory.read_config(), directory.read_resolved()
        if n_sequences is not None and n_sequences != config.n_sequences:
            config = _lengthened(config, n_sequences)
            seen = directory.read_status()["sequences_seen"]
            directory.write_config(config, resolved)
            directory.write_status("interrupted", seen, "made longer")
        has_status = (directory.path / "status.json").exists()
        if has_status and directory.read_status()["state"] == "finished":
            return load_run(out)
        with cpu_threads(resolved["n_threads"]):
            task = build_task(config, choose_device(resolved["device"]))
            if task.bank.digest() != resolved["features_sha256"]:
                raise RunError(
                    f"the features of {out} are not those it was begun with: put back the original "
                    f"features ({config.features}), or begin a new run"
                )
            clamps = bind_clamps(config, task)
            _train(config, resolved, task, clamps, directory, progress, wandb_project)
    return load_run(out)


def _lengthened(config: RunConfig, n_sequences: int) -> RunConfig:
    if n_sequences < config.n_sequences:
        raise ConfigError(
            f"n_sequences is {config.n_sequences} and cannot be cut to {n_sequences}: take an "
            "earlier checkpoint of the run instead"
        )
    if config.optimizer.schedule == "cosine":
        raise ConfigError(
            "a cosine schedule ends with the run, so a longer run is another one from its first "
            "step: begin it anew"
        )
    return config.replace(n_sequences=n_sequences)


def _train(
    config: RunConfig,
    resolved: dict[str, Any],
    task: Task,
    clamps: PhasedClamps,
    directory: RunDirectory,
    progress: bool,
    wandb_project: str | None,
) -> None:
    """The loop: steps up to the next moment of interest, then what is due there."""
    keep_freed_memory()
    device = torch.device(resolved["device"])
    batch_size, n_steps = config.batch_size, config.n_steps
    step = PhasedTrainingStep(
        task.model,
        config.optimizer,
        n_steps,
        example=task.sampler.batch(0).to(device),
        clamps=clamps,
        compile=resolved["compile"],
    )
    record = _Record.restore(directory, step, batch_size)
    evaluations = config.evaluate_at.steps(n_steps, batch_size)
    n_scored = len(evaluations) * sum(map(len, task.evaluation_sequences.values()))
    compile_scorer = resolved["compile"] and n_scored > COMPILE_ABOVE_SCORED
    scorers = ByPhase(clamps, partial(Scorer, task.model, compile=compile_scorer))
    checkpoints = config.checkpoint_at.steps(n_steps, batch_size)
    checks = set(range(0, n_steps, STEPS_BETWEEN_CHECKS))
    moments = sorted(m for m in evaluations | checkpoints | checks if m >= step.state.steps_done)
    if step.state.steps_done > 0:
        moments = [m for m in moments if m > step.state.steps_done]  # done before the stop

    log = open_metrics_log(wandb_project, directory.path, config)
    bar = tqdm(
        total=n_steps * batch_size,
        initial=step.state.steps_done * batch_size,
        unit="seq",
        unit_scale=True,
        disable=not progress,
        smoothing=0.05,
    )
    directory.write_status("running", step.state.steps_done * batch_size)
    try:
        with bar, log:
            for moment in moments:
                losses = []
                while step.state.steps_done < moment:
                    batch = task.sampler.batch(step.state.steps_done)
                    losses.append(step(batch.to(device)))
                    bar.update(batch_size)
                record.add_losses(losses, step.state.steps_done)
                if moment in evaluations:
                    scorer = scorers.at(step.state.steps_done * batch_size)
                    scores = evaluate_with(scorer, task.evaluation_sequences)
                    record.add_evaluation(scores, step.state.steps_done, log)
                    bar.set_postfix(record.headline(config))
                if moment in checkpoints:
                    record.save_checkpoint(task.model, step.state.steps_done)
                if moment == n_steps or record.resume_save_is_due():
                    record.save_resume(step)
    except KeyboardInterrupt:  # the latest save is what counts: this step may be half done
        directory.write_status("interrupted", step.state.steps_done * batch_size)
        raise
    except RunError as error:
        _try_to_record_failure(directory, step.state.steps_done * batch_size, str(error))
        raise
    directory.write_status("finished", n_steps * batch_size)


class _Record:
    """What a run has written so far, and the writing of it."""

    def __init__(self, directory: RunDirectory, batch_size: int, metrics: pd.DataFrame):
        self.directory = directory
        self.batch_size = batch_size
        self.metrics = metrics
        self.loss_sum = 0.0
        self.n_losses = 0
        self._saved_at = monotonic()

    @classmethod
    def restore(cls, directory: RunDirectory, step: PhasedTrainingStep, batch_size: int) -> _Record:
        """Puts `step` where the latest save left it, and drops metrics from after that."""
        metrics = directory.read_metrics()
        record = cls(directory, batch_size, metrics.iloc[:0])
        if directory.resume_path.exists():
            tensors, metadata = read_tensors(directory.resume_path)
            step.state.load_buffers(tensors, int(metadata["steps_done"]))
            record.loss_sum = float.fromhex(metadata["loss_sum"])
            record.n_losses = int(metadata["n_losses"])
            if len(metrics):
                seen = step.state.steps_done * batch_size
                record.metrics = metrics[metrics.sequences_seen <= seen]
        return record

    def add_losses(self, losses: list[Tensor], steps_done: int) -> None:
        """Adds up the training loss.

        Raises:
            NonFiniteLossError: Naming the first step whose loss is not finite.
        """
        if not losses:
            return
        values = torch.stack(losses).tolist()
        for index, value in enumerate(values):
            if not math.isfinite(value):
                bad_step = steps_done - len(values) + index
                kept = self.directory.checkpoints()
                raise NonFiniteLossError(
                    f"the loss is {value} at step {bad_step} "
                    f"({bad_step * self.batch_size} sequences seen). The last good checkpoint is "
                    f"{self.directory.checkpoint_path(kept[-1]) if kept else 'none'}. A smaller "
                    "optimizer.learning_rate is the usual mend"
                )
            self.loss_sum += value
        self.n_losses += len(values)

    def add_evaluation(self, scores: pd.DataFrame, steps_done: int, log: MetricsLog) -> None:
        """Appends an evaluation to the metrics and saves them."""
        training_loss = self.loss_sum / self.n_losses if self.n_losses else math.nan
        self.loss_sum, self.n_losses = 0.0, 0
        rows = scores.copy()
        rows.insert(0, "sequences_seen", steps_done * self.batch_size)
        rows["training_loss"] = training_loss
        tables = [table for table in (self.metrics, rows) if len(table)]
        self.metrics = pd.concat(tables, ignore_index=True)
        self.directory.write_metrics(self.metrics)
        log.write(rows)

    def headline(self, config: RunConfig) -> dict[str, str]:
        """Latest score of each evaluator, for the progress bar."""
        latest = self.metrics[self.metrics.sequences_seen == self.metrics.sequences_seen.max()]
        score = {evaluator.name: evaluator.score for evaluator in config.evaluators}
        return {
            row["evaluator"]: f"{row[score[row['evaluator']]]:.3f}"
            for row in latest.to_dict("records")
        }

    def save_checkpoint(self, model: ExemplarLabelTransformer, steps_done: int) -> None:
        """Saves the weights, named by sequences seen.

        Raises:
            NonFiniteLossError: A weight is not finite; nothing is saved.
        """
        seen = steps_done * self.batch_size
        weights = dict(model.named_parameters())
        for name, weight in weights.items():
            if not torch.isfinite(weight).all():
                raise NonFiniteLossError(f"{name} is not finite after step {steps_done}")
        path = self.directory.checkpoint_path(seen)
        self.directory.write_tensors(path, weights, {"sequences_seen": str(seen)})

    def resume_save_is_due(self) -> bool:
        """Whether the last save is so long ago that a kill would cost much."""
        return monotonic() - self._saved_at > SECONDS_BETWEEN_RESUME_SAVES

    def save_resume(self, step: PhasedTrainingStep) -> None:
        """Saves all that a resume needs, and how far the run has come."""
        self._saved_at = monotonic()
        self.directory.write_status("running", step.state.steps_done * self.batch_size)
        metadata = {
            "steps_done": str(step.state.steps_done),
            "loss_sum": self.loss_sum.hex(),
            "n_losses": str(self.n_losses),
        }
        self.directory.write_tensors(self.directory.resume_path, step.state.buffers(), metadata)


def _try_to_record_failure(directory: RunDirectory, sequences_seen: int, message: str) -> None:
    """Notes the failure in the run, unless the disk that failed it refuses that too."""
    with suppress(RunError):
        directory.write_status("failed", sequences_seen, message)


def should_compile(config: RunConfig) -> bool:
    """Whether the training step is compiled: compiling takes longer than a short run gains."""
    if config.compile == "auto":
        return config.n_steps > COMPILE_ABOVE_STEPS
    return config.compile == "yes"


def choose_device(device: str) -> torch.device:
    """The device a config asks for.

    Raises:
        ConfigError: "cuda" where there is no GPU.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but torch finds no GPU here: use device=cpu or auto")
    return torch.device(device)


@contextmanager
def cpu_threads(n_threads: int) -> Iterator[None]:
    """Sets torch's CPU threads for a block; 0 leaves them."""
    before = torch.get_num_threads()
    if n_threads:
        torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
