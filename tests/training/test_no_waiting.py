"""Nothing in a training step makes a GPU wait: no number is read, nothing is copied across."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from coopetition_interp.interventions import HeadTemperature, PreviousTokenHeads
from coopetition_interp.training.grouped_step import GroupedStep, MemberStep
from coopetition_interp.training.phased_training_step import PhasedTrainingStep
from coopetition_interp.training.task import bind_clamps

aten = torch.ops.aten
THAT_WAIT = {
    aten._local_scalar_dense.default: "reads a number",
    aten.nonzero.default: "counts what is true",
    aten.masked_select.default: "counts what is true",
    aten.equal.default: "reads a number",
    aten.lift_fresh.default: "makes a tensor of Python's numbers",
}


class NothingWaits(TorchDispatchMode):
    """Refuses the operations at which the processor waits for the device, or the other way."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        why = THAT_WAIT.get(operation)
        if operation is aten.index.Tensor and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        ):
            why = "counts what is true"
        if operation in (aten._to_copy.default, aten.copy_.default):
            target = (kwargs or {}).get("device")
            devices = {tensor.device for tensor in args if isinstance(tensor, torch.Tensor)}
            if len(devices) > 1 or (target is not None and devices != {torch.device(target)}):
                why = "copies between devices"
        assert why is None, f"{operation} {why}"
        return operation(*args, **(kwargs or {}))


CLAMPS = (PreviousTokenHeads([(0, 1)], 0.5), HeadTemperature([(1, 0)], 2.0))


@pytest.fixture(scope="module")
def task(short_config):
    return short_config.build()


def step_of(make, config, task):
    clamps = bind_clamps(config, task)
    arguments = (task.model, config.optimizer, config.n_steps, task.batch(0), clamps)
    return make(*arguments, compile=False, loss=task.loss)


def test_a_step_of_one_run(short_config, task):
    config = short_config.replace(clamps=CLAMPS)
    step = step_of(PhasedTrainingStep, config, task)
    step(task.batch(0))  # recorded, and numbers drawn ahead
    with NothingWaits():
        losses = [step(task.batch(index)) for index in range(1, 5)]
    assert torch.stack(losses).isfinite().all()


def test_a_step_of_several_runs(short_config, task):
    configs = [short_config.replace(clamps=CLAMPS, optimizer={"l2": l2}) for l2 in (0.0, 0.1)]
    tasks = [task, short_config.replace(data_seed=3).build()]
    members = [step_of(MemberStep, c, t) for c, t in zip(configs, tasks, strict=True)]
    group = GroupedStep(members)
    batches = type(task).batches_together(tasks)
    scales = group.scales(5)
    group([batches(0)], scales[:1].unbind())
    with NothingWaits():
        losses = group([batches(index) for index in range(1, 5)], scales[1:].unbind())
    assert torch.stack(losses).isfinite().all()


@pytest.mark.parametrize(
    "wait",
    [
        lambda tensor: tensor.sum().item(),
        lambda tensor: tensor[tensor > 0],
        lambda tensor: tensor.to("meta"),
        lambda tensor: tensor + torch.tensor([1.0, 2.0]),
    ],
)
def test_what_waits_is_seen(wait):
    with NothingWaits(), pytest.raises(AssertionError):
        wait(torch.ones(2))


def test_drawn_together_or_one_by_one_batches_are_the_same(short_config):
    for sd in (0.0, 0.1):  # with noise each is asked for its own
        made = [
            short_config.replace(data_seed=seed, sequences={"input_noise_sd": sd}).build()
            for seed in (1, 2)
        ]
        batches = type(made[0]).batches_together(made)
        for step in (0, 200):
            each = zip(*(tree_leaves(one.batch(step)) for one in made), strict=True)
            for stacked, alone in zip(batches(step), each, strict=True):
                assert torch.equal(stacked, torch.stack(alone))
    assert made[0].sampler.features.data_ptr() == made[1].sampler.features.data_ptr()
