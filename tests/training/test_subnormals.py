"""Tests of how a step computes with the smallest numbers."""

import pytest
import torch
from torch import Tensor

from coopetition_interp.training.machine import cpu_threads
from coopetition_interp.training.steps_at_once import StepsAtOnce
from coopetition_interp.training.subnormals import subnormals_as_zero

SUBNORMAL = 1e-39


def product() -> float:
    return (torch.full((8,), SUBNORMAL) * torch.ones(8)).max().item()


needs_a_processor_that_can = pytest.mark.skipif(
    not torch.set_flush_denormal(False), reason="this processor cannot take them as 0"
)


@needs_a_processor_that_can
def test_the_smallest_numbers_are_0_within_the_block_alone() -> None:
    with cpu_threads(1):
        with subnormals_as_zero():
            assert product() == 0
        assert product() > 0


@needs_a_processor_that_can
def test_an_error_within_the_block_leaves_nothing_set() -> None:
    with cpu_threads(1):
        with pytest.raises(ZeroDivisionError), subnormals_as_zero():
            raise ZeroDivisionError
        assert product() > 0


@needs_a_processor_that_can
def test_who_has_set_it_before_finds_it_so_afterwards() -> None:
    with cpu_threads(1):
        torch.set_flush_denormal(True)
        try:
            with subnormals_as_zero():
                assert product() == 0
            assert product() == 0
        finally:
            torch.set_flush_denormal(False)


def test_with_more_threads_nothing_is_set() -> None:
    with cpu_threads(2), subnormals_as_zero():
        assert product() > 0


@needs_a_processor_that_can
@pytest.mark.parametrize("n", [1, 2])
def test_steps_take_them_as_0(n: int) -> None:
    weight = torch.full((8,), SUBNORMAL)

    def halve(scales: Tensor, batch: object) -> Tensor:
        weight.mul_(0.5)
        return weight.sum()

    with cpu_threads(1):
        steps = StepsAtOnce(halve, [weight], torch.ones(1), [], n)
        steps([torch.ones(1)] * n, [[]] * n)
    assert weight.max().item() == 0
