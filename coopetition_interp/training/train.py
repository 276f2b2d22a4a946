"""The training loop, top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from tqdm.auto import tqdm

from coopetition_interp.config_class import ConfigError
from coopetition_interp.interruption import Interrupted, Interruption
from coopetition_interp.training.config_to_train import require_config
from coopetition_interp.training.machine import choose_device, computing_on, should_compile
from coopetition_interp.training.prepared import Training, build_task
from coopetition_interp.training.progress_bar import progress_bar
from coopetition_interp.training.run import Run, load_run
from coopetition_interp.training.run_config import RunConfig
from coopetition_interp.training.run_directory import RunDirectory, RunError
from coopetition_interp.training.run_record import RunRecord, told_in_one_line
from coopetition_interp.training.run_state import is_finished
from coopetition_interp.training.same_run import require_same_data
from coopetition_interp.training.task import moved
from coopetition_interp.training.thread_trial import threads_of
from coopetition_interp.training.weights_and_biases import MetricsLog, open_metrics_log

OnEvaluation = Callable[[pd.DataFrame], None]
"""Called after each evaluation with the run's metrics so far."""


def train(
    config: RunConfig,
    out: str | Path,
    *,
    progress: bool = True,
    wandb_project: str | None = None,
    on_evaluation: OnEvaluation | None = None,
) -> Run:
    """Trains a model and keeps its run in a directory.

    SIGINT (Ctrl-C, a notebook's stop button), SIGTERM and SIGHUP end it after the step it is at,
    with all saved; a second one ends it at once. `resume` goes on from there.

    Args:
        config: The run.
        out: A directory that holds no run yet.
        progress: Show a progress bar.
        wandb_project: Also log metrics to this Weights & Biases project.
        on_evaluation: Called after each evaluation with the metrics so far, such as `LiveCurves()`.

    Returns:
        The finished run, as `load_run` gives it.

    Raises:
        TypeError, ValueError, FileNotFoundError: Bad input, before any of the run is written.
        RunError: The directory is taken, or a write failed.
        NonFiniteLossError: The loss became NaN; what was saved before is kept.
        KeyboardInterrupt: A signal ended it.
    """
    require_config(config)
    with RunDirectory(out) as directory:
        directory.require_new()
        device = choose_device(config.device)
        with computing_on(device, config.n_threads, config.precision):
            task = build_task(config, device)
            torch.set_num_threads(threads_of(config, task, progress))
            resolved = {
                **task.resolved,
                "device": device.type,
                "n_threads": torch.get_num_threads(),
                "compile": should_compile(config),
            }
            training = Training.prepare(config, resolved, task)
            record = RunRecord(directory, config)
            with open_metrics_log(wandb_project, directory.path, config) as log:
                directory.write_config(config, training.resolved)
                _train(training, record, log, progress, on_evaluation)
    return load_run(out)


def resume(
    out: str | Path,
    *,
    n_sequences: int | float | None = None,
    progress: bool = True,
    wandb_project: str | None = None,
    on_evaluation: OnEvaluation | None = None,
) -> Run:
    """Goes on with an interrupted run, to the same weights bitwise as if it had never stopped.

    Args:
        out: The run's directory.
        n_sequences: A greater length than it was begun with, for a run that turns out too short
            (finished or not); its weights become those of a run so long from the start. A whole
            number.
        progress: Show a progress bar.
        wandb_project: Also log metrics to this Weights & Biases project.
        on_evaluation: Called after each evaluation with the metrics so far, such as `LiveCurves()`.

    Returns:
        The finished run. One that had finished already is returned as it is.

    Raises:
        RunError: No run there, a damaged one, or one whose config, data, donors or files changed
            since it began.
        ConfigError: It cannot be made so long; nothing is changed.
        KeyboardInterrupt: A signal ended it, as in `train`.
    """
    if not (Path(out) / "config.json").exists():
        within = RunDirectory(out).run_around()
        mend = "" if within is None else f". It is a part of one: give its directory, {within}"
        raise RunError(f"{out} holds no run to resume: there is no config.json{mend}")
    with RunDirectory(out) as directory:
        begun_with = directory.read_config()
        resolved = directory.read_resolved(begun_with)
        config = begun_with if n_sequences is None else _lengthened(begun_with, n_sequences)
        if config == begun_with and is_finished(directory, config):
            return load_run(out)
        device = choose_device(resolved["device"])
        with computing_on(device, resolved["n_threads"], config.precision):
            record = RunRecord(directory, config)
            record.read_save()
            task = build_task(config, device)
            require_same_data(task, resolved, directory.path)
            training = Training.prepare(config, resolved, task)
            record.restore(training.step)
            with open_metrics_log(wandb_project, directory.path, config) as log:
                if config != begun_with:
                    directory.write_config(config, training.resolved)
                _train(training, record, log, progress, on_evaluation)
    return load_run(out)


def _lengthened(config: RunConfig, n_sequences: int | float) -> RunConfig:
    longer = type(config).from_dict({**config.to_dict(), "n_sequences": n_sequences})
    if longer.n_sequences < config.n_sequences:
        raise ConfigError(
            f"n_sequences is {config.n_sequences} and cannot be cut to {longer.n_sequences}: take "
            "an earlier checkpoint of the run instead"
        )
    if longer != config and config.optimizer.schedule == "cosine":
        raise ConfigError(
            "a cosine schedule ends with the run, so a longer run is another one from its first "
            "step: begin it anew"
        )
    return longer


def _train(
    training: Training,
    record: RunRecord,
    log: MetricsLog,
    progress: bool,
    on_evaluation: OnEvaluation | None,
) -> None:
    """Runs the loop, and notes how it ended."""
    n_steps = training.config.n_steps
    with Interruption() as interruption:
        try:
            record.note("running")
            total = n_steps * record.batch_size
            with progress_bar(total, record.sequences_saved, progress) as bar:
                _loop(training, record, log, bar, interruption, on_evaluation)
            if record.last_moment == n_steps:
                told = "interrupted when the run was finished"
                record.note("finished")
            else:
                told = record.note_interrupted()
        except (KeyboardInterrupt, SystemExit) as error:  # a step may be half done
            told = record.note_interrupted(at_once=True)
            if isinstance(error, Interrupted):
                raise Interrupted(error.signum, told) from None
            raise
        except Exception as error:
            record.note_end("failed", told_in_one_line(error))
            raise
    if interruption.requested is not None:
        raise Interrupted(interruption.requested, told)


def _loop(
    training: Training,
    record: RunRecord,
    log: MetricsLog,
    bar: tqdm,
    interruption: Interruption,
    on_evaluation: OnEvaluation | None,
) -> None:
    """Steps up to the next moment of interest, then what is due there."""
    config, task, step = training.config, training.task, training.step
    first = max(record.last_moment + 1, step.state.steps_done)
    for moment in training.moments(first):
        losses = []
        while step.state.steps_done < moment and interruption.requested is None:
            done = step.state.steps_done
            to_come = range(done, min(done + step.n_at_once, moment))
            batches = [moved(task.batch(index), training.device) for index in to_come]
            losses += step.several(batches)
            bar.update(len(batches) * config.batch_size)
        record.add_losses(losses, step)
        if interruption.requested is not None:
            break
        if moment in training.evaluations:
            record.add_evaluation(training.scores(moment), moment, log, training.l2_penalty())
            bar.set_postfix(record.headline(config))
            if on_evaluation is not None:
                on_evaluation(record.metrics.copy())
        if moment in training.checkpoints:
            record.save_checkpoint(task.model, moment)
        record.last_moment = moment
        if moment == config.n_steps or record.resume_save_is_due():
            record.save_resume(step)
    # Before the first moment nothing is there to be saved: the run begins anew.
    if interruption.requested is not None and record.last_moment >= 0:
        record.save_resume(step)
