"""One training step of several runs at once: their models as one batched model.

The runs' parameters and moments lie stacked, [run, ...]. Each run is computed as it would be alone,
under `torch.vmap`; the gradient of the sum of the losses is each run's own gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten
from transformer_lens import HookedRootModule

from coopetition_interp.interventions import (
    PhasedClamps,
    StackedClamps,
    stack_clamps,
)
from coopetition_interp.training.optimizer_state import OptimizerState, pack_parameters, unpack
from coopetition_interp.training.recorded_graph import compile_record
from coopetition_interp.training.recorded_training import record_training
from coopetition_interp.training.schedules import OptimizerConfig
from coopetition_interp.training.steps_at_once import StepsAtOnce
from coopetition_interp.training.task import Batch, ClampedModel, Loss
from coopetition_interp.training.training_mode import in_training_mode
from coopetition_interp.training.unchanged_tensors import UnchangedTensors

N_SCALES = 6


class MemberStep:
    """What a run of a group has in place of a `PhasedTrainingStep`: its state, and what it needs.

    Arguments are those of `PhasedTrainingStep`.

    Attributes:
        state: Parameters and moments; within a group, one row of the group's.
        penalised: Names of the parameters that the L2 penalty covers.
    """

    def __init__(
        self,
        model: HookedRootModule,
        optimizer: OptimizerConfig,
        n_steps: int,
        example: Batch,
        clamps: PhasedClamps,
        compile: bool,
        loss: Loss,
    ):
        self.model = model
        self.optimizer = optimizer
        self.n_steps = n_steps
        self.example = example
        self.clamps = clamps
        self.compile = compile
        self.loss = loss
        self.penalised = set(optimizer.penalised(model))
        self.state = pack_parameters(model)

    def scales_at(self, step: int) -> list[float]:
        """Adam's numbers at a step, in the order in which `GroupedStep` takes them.

        A run that is ahead of the step stays as it is: nothing is added to its moments.
        """
        if step < self.state.steps_done:
            return [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]
        size, root = self.optimizer.scales_at(step, self.n_steps)
        beta1, beta2 = self.optimizer.beta1, self.optimizer.beta2
        return [size, root, beta1, 1 - beta1, beta2, 1 - beta2]


class GroupedStep:
    """A step of several runs, called once per step of all.

    The models' parameters become views of the group's, so each model is up to date after each step.

    Args:
        members: The runs, found to be of one shape (see `shapes_together`).
    """

    def __init__(self, members: Sequence[MemberStep]):
        self._members = members
        first = members[0]
        states = [member.state for member in members]
        self._names, self._shapes = first.state.names, first.state.shapes
        self._n_packed = first.state.n_packed
        self._groups = [_stacked([state.packed for state in states])]
        self._groups += [_stacked(group) for group in zip(*(s.large for s in states), strict=True)]
        for row, member in enumerate(members):
            _share(self._groups, row, member.state)
            member.state.share_with(member.model)
        leaves, self._structure = tree_flatten(first.example)
        self._device = leaves[0].device
        self._dtype = self._groups[0][0].dtype
        self._batch_size = len(leaves[0])
        self._eps = self._of_each([member.optimizer.eps for member in members])
        self._penalties = [
            self._of_each([2 * m.optimizer.l2 * (name in m.penalised) for m in members])
            if any(name in m.penalised for m in members)
            else None
            for name in self._names
        ]
        self._of_phases: dict[int, StepsAtOnce] = {}
        self._unchanged: list[UnchangedTensors] = []

    @property
    def steps_done(self) -> int:
        """Where the runs that are least far are. Those that are ahead wait for them."""
        return min(member.state.steps_done for member in self._members)

    def scales(self, stop: int) -> Float[Tensor, "n_steps n_scales n_runs"]:
        """Adam's numbers of the steps from `steps_done` to `stop`, made at once."""
        steps = range(self.steps_done, stop)
        table = [[member.scales_at(step) for member in self._members] for step in steps]
        shape = (len(steps), len(self._members), N_SCALES)
        scales = torch.tensor(table, device=self._device, dtype=self._dtype).reshape(shape)
        return scales.transpose(1, 2).contiguous()

    def n_at_once(self, batches: list[Tensor]) -> int:
        """How many steps the next call is best made for, if their batches are such as this one."""
        return self._of_phase(self._phase_at(self.steps_done), batches).n

    def __call__(
        self, batches: Sequence[list[Tensor]], scales: Sequence[Tensor]
    ) -> list[Float[Tensor, " n_runs"]]:
        """Takes a step for each batch, in order. A phase may end among them.

        Args:
            batches: For each step, the tensors of each run's batch, stacked, as
                `Task.batches_together` gives.
            scales: Of each step, from `scales`.

        Returns:
            The loss of each run before each step.

        Raises:
            RuntimeError: A tensor that the step reads, beside its inputs, was changed.
        """
        done = self.steps_done
        phases = [self._phase_at(done + index) for index in range(len(batches))]
        if len(set(phases)) > 1:
            each = zip(batches, scales, strict=True)
            return [self([batch], [numbers])[0] for batch, numbers in each]
        for tensors in self._unchanged:
            tensors.require()
        losses = self._of_phase(phases[0], batches[0])(scales, batches)
        for member in self._members:
            if member.state.steps_done == done:
                member.state.steps_done += len(batches)
        return losses

    def _phase_at(self, steps_done: int) -> int:
        return self._members[0].clamps.phase_at(steps_done * self._batch_size)

    def _of_phase(self, phase: int, batches: list[Tensor]) -> StepsAtOnce:
        """The recorded step of a phase, made when its first batch comes."""
        if phase not in self._of_phases:
            bound = [member.clamps.bound[phase] for member in self._members]
            clamps = stack_clamps(bound, like=self._groups[0][0])
            state = [tensor for group in self._groups for tensor in group]
            held = clamps.tensors
            # Each by itself, as fields are numbers: [run] for each number.
            shape = (N_SCALES, len(self._members))
            scales = torch.zeros(shape, device=self._device, dtype=self._dtype)
            inputs = [*state, scales, *held, *batches]
            operations = partial(self._step_operations, clamps)
            first = self._members[0]
            graph: Any = record_training(operations, inputs, first.model, state, first.loss)
            self._unchanged.append(UnchangedTensors(graph, first.model))
            if first.compile:
                graph, _ = compile_record(graph, inputs)

            def one_step(scales: Tensor, batch: Sequence[Tensor]) -> Tensor:
                (losses,) = graph(*state, scales, *held, *batch)
                return losses

            made = StepsAtOnce(one_step, state, scales, batches)
            self._of_phases[phase] = made
        return self._of_phases[phase]

    def _step_operations(self, clamps: StackedClamps, *inputs: Tensor) -> tuple[Tensor]:
        """The step itself, on plain tensors; run once, to be recorded."""
        n_state, n_held = 3 * len(self._groups), len(clamps.tensors)
        state, (scales, *others) = inputs[:n_state], inputs[n_state:]
        held, batches = others[:n_held], others[n_held:]
        groups = [tuple(state[i : i + 3]) for i in range(0, n_state, 3)]
        unpacked = partial(_unpacked, self._shapes[: self._n_packed])
        weights = [*torch.func.vmap(unpacked)(groups[0][0]), *(g[0] for g in groups[1:])]
        leaves = [weight.detach().requires_grad_() for weight in weights]
        with torch.enable_grad(), in_training_mode(self._members[0].model):
            losses = torch.func.vmap(partial(self._loss_of_one, clamps))(leaves, held, batches)
            gradients = torch.autograd.grad(
                losses.sum(), leaves, allow_unused=True, materialize_grads=True
            )
        with torch.no_grad():
            with_penalty = [
                g if penalty is None else g + _along(penalty, g) * p
                for g, p, penalty in zip(gradients, weights, self._penalties, strict=True)
            ]
            packed = [g.reshape(len(g), -1) for g in with_penalty[: self._n_packed]]
            joined = torch.cat(packed, 1) if packed else groups[0][0]  # of no numbers
            for group, g in zip(groups, [joined, *with_penalty[self._n_packed :]], strict=True):
                self._adam(group, g, scales)
        return (losses.detach(),)

    def _loss_of_one(
        self,
        clamps: StackedClamps,
        weights: list[Tensor],
        held: list[Tensor],
        batch: list[Tensor],
    ) -> Float[Tensor, ""]:
        """The loss of one run, as it has it alone."""
        first = self._members[0]
        named = dict(zip(self._names, weights, strict=True))
        run_model = ClampedModel(first.model, clamps.of_run(held), named)
        return first.loss(run_model, tree_unflatten(batch, self._structure))

    def _adam(self, updated: tuple[Tensor, ...], g: Tensor, scales: Tensor) -> None:
        """Adam's update in place, with each run's own numbers."""
        parameter, first, second = updated
        size, root, beta1, rest1, beta2, rest2 = (_along(scale, g) for scale in scales)
        first.mul_(beta1).add_(g * rest1)
        second.mul_(beta2).add_(g * g * rest2)
        parameter.sub_(size * first / (second.sqrt() * root + _along(self._eps, g)))

    def _of_each(self, numbers: Sequence[float]) -> Float[Tensor, " n_runs"]:
        return torch.tensor(numbers, device=self._device, dtype=self._dtype)


def _stacked(groups: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.stack(tensors) for tensors in zip(*groups, strict=True))


def _share(groups: list[tuple[Tensor, ...]], row: int, state: OptimizerState) -> None:
    """Makes a state's buffers a row of the group's."""
    packed, *large = [tuple(tensor[row] for tensor in group) for group in groups]
    state.packed, state.large = packed, large  # type: ignore[assignment]


def _along(numbers: Float[Tensor, " n_runs"], like: Tensor) -> Tensor:
    """A number for each run, to be broadcast against [run, ...]."""
    return numbers.view(-1, *[1] * (like.ndim - 1))


def _unpacked(shapes: Sequence[torch.Size], flat: Tensor) -> tuple[Tensor, ...]:
    return tuple(unpack(flat, shapes))
