"""Steps on models of one's own are those of a plain loop with torch's Adam, alone and grouped."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._pytree import tree_leaves
from transformer_lens import HookedRootModule

from coopetition_interp.interventions import bind, bind_phases
from coopetition_interp.training import OptimizerConfig, TrainingStep
from coopetition_interp.training.grouped_step import GroupedStep, MemberStep
from coopetition_interp.training.optimizer_state import PACKED_BELOW, pack_parameters
from coopetition_interp.training.shapes_together import LossesDifferError, require_one_loss
from coopetition_interp.training.task import ClampedModel, Task

N_LABELS, N_STEPS, RATE = 5, 4, 1e-2


class Small(HookedRootModule):
    """Embeds tokens, and reads off the labels; what is between is a subclass's."""

    n_tokens = 6

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.table = nn.Parameter(torch.randn(self.n_tokens, 8))
            self.read = nn.Linear(8, N_LABELS)
            self.between()
        self.setup()

    def between(self):
        pass

    def hidden(self, tokens):
        return self.table[tokens]

    def forward(self, tokens, return_type="logits"):
        return self.read(self.hidden(tokens))


class LargeTable(Small):
    n_tokens = 300


class FromTheEnd(Small):
    def hidden(self, tokens):
        rows = torch.arange(len(tokens))
        return self.table[None].expand(len(tokens), -1, -1)[rows, tokens % 3 - 3]


class FrozenStatistics(Small):
    def between(self):
        self.norm = nn.BatchNorm1d(8)
        self.norm.running_mean += 1
        self.norm.eval()

    def hidden(self, tokens):
        return self.norm(self.table[tokens])


class TwiceInTraining(Small):
    def between(self):
        self.eval()  # as an evaluator leaves it

    def hidden(self, tokens):
        return self.table[tokens] * (2 if self.training else 1)


class OneNumber(Small):
    def between(self):
        self.scale = nn.Parameter(torch.tensor(0.5))

    def hidden(self, tokens):
        return self.table[tokens] * self.scale


class NamedPacked(Small):
    """With a large parameter whose name is that of the buffer of the small ones."""

    def between(self):
        self.packed = nn.Parameter(torch.zeros(PACKED_BELOW // 8, 8))
        self.register_buffer("shift", torch.zeros(8))

    def hidden(self, tokens):
        return self.table[tokens] + self.packed[tokens]


class OnlyLarge(Small):
    n_tokens = PACKED_BELOW // 8 + 1

    def between(self):
        self.read.requires_grad_(False)


class Padded(Small):
    def between(self):
        self.lookup = nn.Embedding(6, 8, padding_idx=1)

    def hidden(self, tokens):
        return self.lookup(tokens)


def loss(run_model, batch):
    return F.cross_entropy(run_model(batch["tokens"]), batch["labels"])


def batches(lowest=0):
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "tokens": torch.randint(lowest, 6, (16,), generator=generator),
            "labels": torch.randint(0, N_LABELS, (16,), generator=generator),
        }
        for _ in range(N_STEPS)
    ]


def by_torch(model, seen):
    if not model.training:
        model.train()
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam(named.values(), lr=RATE)
    for batch in seen:
        optimizer.zero_grad()
        loss(ClampedModel(model, bind((), model), named), batch).backward()
        optimizer.step()


def alone(model, seen):
    step = TrainingStep(
        model, OptimizerConfig(learning_rate=RATE), N_STEPS, seen[0], compile=False, loss=loss
    )
    for batch in seen:
        step(batch)


def two_members(model, seen):
    return [
        MemberStep(
            each, OptimizerConfig(learning_rate=RATE), N_STEPS, seen[0],
            bind_phases((), each), False, loss,
        )
        for each in (copy.deepcopy(model), model)
    ]  # fmt: skip


def grouped(model, seen):
    """The second of two runs that are trained together."""
    step = GroupedStep(two_members(model, seen))
    for scales, batch in zip(step.scales(N_STEPS), seen, strict=True):
        step([[torch.stack([leaf, leaf]) for leaf in tree_leaves(batch)]], [scales])


@pytest.mark.parametrize("steps", [alone, grouped])
@pytest.mark.parametrize(
    ("kind", "lowest"),
    [
        (Small, 0),
        (Small, -6),
        (LargeTable, -6),
        (FromTheEnd, 0),
        (TwiceInTraining, 0),
        (OneNumber, 0),
        (OnlyLarge, 0),
        (NamedPacked, 0),
    ],
)
def test_weights_are_those_of_a_plain_loop(kind, lowest, steps):
    seen, model, expected = batches(lowest), kind(), kind()
    by_torch(expected, seen)
    steps(model, seen)
    for name, parameter in expected.named_parameters():
        # Sums are taken in another order, and Adam divides by roots of small gradients.
        torch.testing.assert_close(
            dict(model.named_parameters())[name], parameter, rtol=1e-3, atol=1e-5
        )


def test_models_with_a_padding_row_train_alone():
    seen, model, expected = batches(), Padded(), Padded()
    by_torch(expected, seen)
    alone(model, seen)
    torch.testing.assert_close(model.lookup.weight, expected.lookup.weight, rtol=1e-3, atol=1e-5)
    assert not model.lookup.weight[1].any()
    with pytest.raises(LossesDifferError, match="padding_idx cannot be trained together"):
        require_one_loss(["a", "b"], two_members(model, seen))


def test_a_part_of_a_model_that_is_in_evaluation_mode_stays_so():
    seen, model, expected = batches(), FrozenStatistics(), FrozenStatistics()
    by_torch(expected, seen)
    alone(model, seen)
    assert torch.equal(model.norm.running_mean, torch.ones(8))
    assert (model.training, model.norm.training) == (True, False)
    torch.testing.assert_close(model.table, expected.table, rtol=1e-3, atol=1e-5)


def test_what_is_written_in_place_in_a_list_is_refused_too():
    teacher = [torch.zeros(6, 8)]

    def follows(run_model, batch):
        with torch.no_grad():
            torch._foreach_lerp_(teacher, [run_model.parameters["table"]], 0.1)
        return loss(run_model, batch)

    with pytest.raises(ValueError, match="in place, which no checkpoint keeps"):
        TrainingStep(Small(), OptimizerConfig(), N_STEPS, batches()[0], compile=False, loss=follows)


def test_what_is_saved_of_each_parameter_has_a_name_of_its_own():
    state = pack_parameters(NamedPacked())
    saved = {name: torch.rand_like(tensor) for name, tensor in state.buffers().items()}
    state.load_buffers(saved, steps_done=3)
    assert len(saved) == 6
    for one, other in zip(state.buffers().values(), saved.values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("steps", [alone, grouped])
def test_a_model_in_float64_is_trained_in_float64(steps):
    seen, model, expected = batches(), Small().double(), Small().double()
    by_torch(expected, seen)
    steps(model, seen)
    torch.testing.assert_close(model.table, expected.table, rtol=1e-9, atol=1e-12)


class InAnyOrder(Task):
    def batch(self, step):
        batch = batches()[step]
        return batch if step % 2 == 0 else dict(reversed(batch.items()))

    def loss(self, run_model, batch):
        return loss(run_model, batch)


def test_a_batchs_dictionary_may_go_in_another_order():
    task = InAnyOrder(Small(), {})
    model, expected = Small(), Small()
    by_torch(expected, batches())
    alone(model, [task.batch(step) for step in range(N_STEPS)])
    torch.testing.assert_close(model.table, expected.table, rtol=1e-3, atol=1e-5)
    together = InAnyOrder.batches_together([task, task])
    for step, batch in enumerate(batches()):
        for stacked, leaf in zip(together(step), tree_leaves(batch), strict=True):
            assert torch.equal(stacked[1], leaf)


@pytest.mark.parametrize(
    "wrong", [{"tokens": torch.zeros(16)}, torch.zeros(16), {"tokens": None, "labels": None}]
)
def test_a_batch_that_is_built_otherwise_is_told(wrong):
    with pytest.raises(ValueError, match="a batch is not built as the first one was"):
        alone(Small(), [batches()[0], wrong])
