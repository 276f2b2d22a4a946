"""Many runs trained as one batched model, each with a run directory as if it were alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from coopetition_interp.config_class import ConfigError, shortened
from coopetition_interp.interruption import Interrupted, Interruption
from coopetition_interp.training.config_to_train import require_config
from coopetition_interp.training.group_member import Member
from coopetition_interp.training.grouped_step import GroupedStep
from coopetition_interp.training.machine import computing_on
from coopetition_interp.training.progress_bar import progress_bar
from coopetition_interp.training.run import Run, load_run
from coopetition_interp.training.run_config import RunConfig
from coopetition_interp.training.run_directory import RunDirectory, RunError
from coopetition_interp.training.run_record import told_in_one_line
from coopetition_interp.training.run_state import is_finished, sequences_asked
from coopetition_interp.training.shapes_together import (
    form_of_config,
    form_of_task,
    require_equal_constants,
    require_one_form,
    require_one_loss,
)
from coopetition_interp.training.weights_and_biases import MetricsLog


def train_together(
    configs: Iterable[RunConfig],
    out: str | Path | Iterable[str | Path],
    *,
    progress: bool = True,
) -> list[Run]:
    """Trains runs of one shape as one batched model: many times faster where each is small.

    The runs may differ in seeds, in the optimizer's numbers, in their data (if of one shape), in
    the weights they start from, in lengths and schedules, and in the numbers and donors of their
    clamps. Weights are those of training alone up to rounding; the same runs together give the same
    bits, also when interrupted or killed and gone on with. A run that ends or fails leaves the
    group, and the others go on.

    Runs that are there already are gone on with, finished ones left as they are, also those that
    were made longer: to resume, call it again. Each may also be gone on with alone, by `resume`.

    Args:
        configs: The runs.
        out: A directory for each; or one, in which each has a directory of its config's name.
        progress: Show a progress bar.

    Returns:
        The finished runs, in order.

    Raises:
        TypeError: They are no configs.
        ConfigError: The runs cannot be trained together; nothing is trained.
        ValueError, FileNotFoundError: Bad input; likewise.
        RunError: A directory holds another run; likewise. Or runs failed: told at the end, when the
            others are finished.
        KeyboardInterrupt: A signal ended it, with all saved, as in `train`.
    """
    configs = _listed(configs)
    paths = _paths(configs, out)
    require_one_form(paths, [form_of_config(config) for config in configs])
    with ExitStack() as stack:
        directories = [stack.enter_context(RunDirectory(path)) for path in paths]
        begun = [_is_begun(directory, c) for directory, c in zip(directories, configs, strict=True)]
        unfinished = [
            (directory, config)
            for directory, config, is_begun in zip(directories, configs, begun, strict=True)
            if not (is_begun and is_finished(directory, config))
        ]
        failed = _train_unfinished(unfinished, progress) if unfinished else {}
    if failed:
        told = "; ".join(f"{path}: {why}" for path, why in failed.items())
        raise RunError(f"{len(failed)} of {len(paths)} runs failed, the others finished: {told}")
    return [load_run(path) for path in paths]


def _listed(configs: Iterable[RunConfig]) -> list[RunConfig]:
    if not isinstance(configs, Iterable) or isinstance(configs, str | Mapping):
        raise TypeError(f"configs are given in a list, as [config]; got {shortened(configs)}")
    listed = list(configs)
    for config in listed:
        require_config(config)
    if not listed:
        raise ConfigError("there are no runs to train: give at least one config")
    return listed


def _paths(configs: Sequence[RunConfig], out: str | Path | Iterable[str | Path]) -> list[Path]:
    if isinstance(out, str | Path):
        paths = [Path(out) / config.name for config in configs]
        mend = "give each config a name of its own"
    else:
        paths, mend = [Path(path) for path in out], "give each run a directory of its own"
    if len(paths) != len(configs) or len(set(paths)) < len(paths):
        raise ConfigError(
            f"{len(configs)} runs for {len(set(paths))} directories "
            f"({', '.join(map(str, paths))}): {mend}"
        )
    return paths


def _is_begun(directory: RunDirectory, config: RunConfig) -> bool:
    """Whether the directory holds this run, or finished, a longer one than it.

    Raises:
        RunError: It holds another.
    """
    is_begun = directory.config_path.exists()
    if is_begun and (there := directory.read_config()) != config:
        is_longer = there.n_sequences > config.n_sequences and is_finished(directory, there)
        is_begun = is_longer and there.replace(n_sequences=config.n_sequences) == config
    if not is_begun:
        directory.require_new()
    return is_begun


def _train_unfinished(
    unfinished: Sequence[tuple[RunDirectory, RunConfig]], progress: bool
) -> dict[Path, str]:
    """Trains them; returns what went wrong, by directory."""
    members = [Member(directory, config) for directory, config in unfinished]
    paths = [member.path for member in members]
    require_one_form(paths, [member.how for member in members])
    how, device = members[0].how, torch.device(members[0].how["device"])
    with computing_on(device, how["n_threads"], members[0].config.precision):
        for member in members:
            member.prepare()
        tasks = [member.training.task for member in members]
        require_one_form(paths, [form_of_task(task) for task in tasks])
        require_equal_constants(paths, tasks)
        require_one_loss(paths, [member.step for member in members])
        for member in members:
            member.begin()
        total = sum(sequences_asked(member.config) for member in members)
        seen = sum(member.record.sequences_saved for member in members)
        with Interruption() as interruption, progress_bar(total, seen, progress) as bar:
            group = _Group([m for m in members if not m.is_done], bar, interruption)
            group.train()
    if interruption.requested is not None:
        raise Interrupted(interruption.requested, group.told)
    return group.failed


class _Group:
    """The members under way.

    Attributes:
        members: Those that are neither finished nor failed.
        failed: Why others failed, by directory.
        told: What an interruption is told by.
    """

    def __init__(self, members: list[Member], bar: tqdm, interruption: Interruption):
        self.members = members
        self.failed: dict[Path, str] = {}
        self.told = "interrupted when the runs were finished"
        self._bar = bar
        self._interruption = interruption

    def train(self) -> None:
        """Trains them to their ends, and notes how each ended."""
        try:
            while self.members and not self._train_until_one_leaves():
                pass
        except (KeyboardInterrupt, SystemExit) as error:  # a step may be half done
            self.told = "interrupted at once: go on by the same call, or with each run alone"
            for member in self.members:
                member.record.note_interrupted(at_once=True)
            if isinstance(error, Interrupted):
                raise Interrupted(error.signum, self.told) from None
            raise
        except Exception as error:
            for member in self.members:
                member.record.note_end("failed", told_in_one_line(error))
            raise

    def _train_until_one_leaves(self) -> bool:
        """Trains the members there are, as one; whether an interruption ended it."""
        members = self.members
        step = GroupedStep([member.step for member in members])
        tasks = [member.training.task for member in members]
        batches = type(tasks[0]).batches_together(tasks)
        while self.members == members:
            moving = [member for member in members if member.steps_done == step.steps_done]
            losses = self._steps(step, batches, self._next_stop(step.steps_done))
            asked = self._interruption.requested is not None
            for member in moving:
                own = losses[:, members.index(member)]
                self._try(member, self._look, member, own, asked)
            if asked or any(member.record.resume_save_is_due() for member in moving):
                self._save(moving)
            ended = [m for m in moving if m.is_done and m in self.members]
            if ended or len(self.members) < len(members):
                # What goes on is saved first, so that it goes on without those that have left.
                self._save([member for member in moving if member not in ended])
                for member in ended:
                    self._try(member, member.save)
                    if member in self.members:
                        member.record.note("finished")
                        self.members = [other for other in self.members if other is not member]
            if asked:
                self._note_interrupted()
                return True
        return False

    def _next_stop(self, step: int) -> int:
        """The next step at which something is due, or a member that was ahead is caught up with."""
        return min(
            member.next_moment if member.steps_done == step else member.steps_done
            for member in self.members
        )

    def _steps(
        self, step: GroupedStep, batches: Callable[[int], list[Tensor]], stop: int
    ) -> Tensor:
        """Steps up to a stop, or to an interruption; losses [step, member]."""
        first = step.steps_done
        n_moving = sum(member.steps_done == first for member in self.members)
        scales = step.scales(stop)
        losses = []
        while step.steps_done < stop and self._interruption.requested is None:
            at = step.steps_done
            batch = batches(at)
            to_come = range(at + 1, min(at + step.n_at_once(batch), stop))
            given = [batch, *map(batches, to_come)]
            losses += step(given, scales[at - first :][: len(given)].unbind())
            self._bar.update(len(given) * n_moving * self.members[0].config.batch_size)
        return torch.stack(losses) if losses else torch.empty(0, len(self.members))

    def _look(self, member: Member, losses: Tensor, asked: bool) -> None:
        if asked:
            member.record.add_losses(losses, member.step)
        else:
            member.look(losses, MetricsLog())

    def _save(self, members: Sequence[Member]) -> None:
        for member in members:
            if member in self.members and member.record.steps_saved != member.steps_done:
                self._try(member, member.save)

    def _try(self, member: Member, do: Callable[..., None], *arguments: Any) -> None:
        """Does something with a member, which leaves the group if that fails."""
        try:
            do(*arguments)
        except RunError as error:
            self.failed[member.path] = told_in_one_line(error)
            self.members = [other for other in self.members if other is not member]
            member.record.note_end("failed", self.failed[member.path])

    def _note_interrupted(self) -> None:
        if self.members:
            self.told = "interrupted with all saved: go on by the same call, or with each run alone"
        for member in self.members:
            member.record.note_interrupted()
