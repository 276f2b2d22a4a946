"""Moments of a run in sequences seen, and learning rates."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from coopetition_interp.training import ConfigError, OptimizerConfig, Schedule


@given(
    every=st.integers(0, 500),
    log_spaced=st.integers(0, 20),
    at=st.lists(st.integers(0, 5000), max_size=5),
    n_steps=st.integers(1, 100),
    batch_size=st.integers(1, 40),
)
def test_moments_lie_in_the_run_and_hold_its_ends(every, log_spaced, at, n_steps, batch_size):
    schedule = Schedule(every=every, log_spaced=log_spaced, log_from=10, at=tuple(at))
    steps = schedule.steps(n_steps, batch_size)
    assert {0, n_steps} <= steps <= set(range(n_steps + 1))
    for moment in at:
        if moment <= n_steps * batch_size:
            assert math.ceil(moment / batch_size) in steps
    if every:
        assert {math.ceil(m / batch_size) for m in range(0, n_steps * batch_size, every)} <= steps


@given(
    every=st.integers(0, 90),
    log_spaced=st.integers(0, 9),
    at=st.lists(st.integers(0, 900), max_size=5),
    n_steps=st.integers(1, 40),
    batch_size=st.integers(1, 40),
    first=st.integers(0, 45),
)
def test_moments_are_those_of_the_whole_list(every, log_spaced, at, n_steps, batch_size, first):
    schedule = Schedule(every=every, log_spaced=log_spaced, log_from=10, at=tuple(at))
    end = n_steps * batch_size
    listed = [*at, *(range(0, end + 1, every) if every else ())]
    if log_spaced and end > 10:
        listed += np.geomspace(10, end, log_spaced).round().tolist()
    whole = {math.ceil(m / batch_size) for m in listed if m <= end} | {0, n_steps}
    steps = schedule.steps(n_steps, batch_size)
    assert list(steps) == sorted(whole)
    assert len(steps) == len(whole)
    assert list(steps.since(first)) == sorted(step for step in whole if step >= first)
    assert [step in steps for step in range(n_steps + 2)] == [
        step in whole for step in range(n_steps + 2)
    ]


def test_moments_of_an_endless_run_are_not_listed():
    steps = Schedule(every=1).steps(10**15, 32)
    assert len(steps) == 10**15 + 1
    assert 10**15 - 1 in steps
    assert list(itertools.islice(steps.since(10**14), 2)) == [10**14, 10**14 + 1]


def test_log_spacing_is_even_in_the_logarithm():
    steps = sorted(Schedule(log_spaced=4, log_from=1000).steps(1_000_000, 1) - {0})
    assert steps == [1000, 10_000, 100_000, 1_000_000]


def test_warm_up_then_inverse_square_root():
    optimizer = OptimizerConfig(learning_rate=3e-4, schedule="inverse_sqrt", warmup_steps=4000)
    assert optimizer.learning_rate_at(1999, 10**6) == pytest.approx(1.5e-4)
    assert optimizer.learning_rate_at(3999, 10**6) == pytest.approx(3e-4)
    assert optimizer.learning_rate_at(15_999, 10**6) == pytest.approx(1.5e-4)


def test_cosine_ends_near_zero():
    optimizer = OptimizerConfig(learning_rate=1.0, schedule="cosine")
    assert optimizer.learning_rate_at(50, 100) == pytest.approx(0.5)
    assert optimizer.learning_rate_at(99, 100) < 1e-3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be a number from 1e-12 to 10; got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number .* got nan"),
        ({"schedule": "inverse_sqrt"}, "set warmup_steps"),
        ({"beta2": 1.0}, "beta2 must be a number from 0 to 0.999999"),
        ({"l2": 1.0, "l2_on": ()}, "an empty l2_on penalises nothing"),
        ({"eps": -1.0}, "eps must be a number from 1e-20 to 1"),
        ({"l2": -1.0}, "l2 must be a number from 0 to 1,000"),
    ],
)
def test_contradictory_optimizers_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        OptimizerConfig(**fields)


class Parts(nn.Module):
    """One module for each part of a penalty, and such as only sound like one."""

    def __init__(self):
        super().__init__()
        self.exemplar_embed = nn.ModuleDict(
            {"first": nn.Linear(2, 1), "batch_norm": nn.Linear(1, 1)}
        )
        self.embed = nn.Linear(3, 1)
        self.blocks = nn.ModuleList(
            [nn.ModuleDict({"mlp": nn.Linear(2, 2), "attn": nn.Linear(1, 1)})]
        )
        self.bn = nn.BatchNorm1d(1)
        self.batch_norms = nn.Linear(1, 1)
        self.frozen = nn.Linear(1, 1).requires_grad_(False)
        for name, parameter in self.named_parameters():
            nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)


def test_the_penalty_is_a_sum_of_squares_over_the_named_parts():
    numbers = {"all": 2 + 3 + 4 + 1 + 1, "mlp": 4, "attention": 1, "embedding": 5}
    for part, n_ones in {**numbers, "exemplar_embedding": 2}.items():
        assert OptimizerConfig(l2=0.5, l2_on=(part,)).penalty(Parts()) == pytest.approx(
            0.5 * n_ones
        )
    both = OptimizerConfig(l2=0.5, l2_on=("mlp", "attention", "mlp"))
    assert both.penalty(Parts()) == pytest.approx(0.5 * 5)


def test_a_penalty_on_a_part_that_the_model_has_not_is_refused():
    model = Parts()
    model.blocks[0].attn.requires_grad_(False)
    optimizer = OptimizerConfig(l2=0.5, l2_on=("mlp", "attention"))
    with pytest.raises(ConfigError, match=r"l2_on names attention, but .* none of the trained"):
        optimizer.penalised(model)
    assert OptimizerConfig(l2_on=("attention",)).penalised(model) == []
