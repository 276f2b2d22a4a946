import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition_interp.toy_models import (
    CoopetitionModel,
    Err,
    Size,
    Vectors,
    draw_vectors,
)

from . import materialised
from .derivatives import gradients, inner_products

SMALL = {"a": 3, "b": 4, "c": 2, "d": 5}
NAMES = st.lists(st.sampled_from(list(SMALL)), min_size=1, max_size=4)


@settings(max_examples=40)
@given(names=NAMES, seed=st.integers(0, 2**31))
def test_closed_forms_are_the_means_over_the_materialised_tensors(names, seed):
    drawn = draw_vectors(SMALL, [seed])
    current, targets = materialised.of_seed(drawn, 0)
    products = inner_products(drawn)
    # A factor may be named twice: "a (x) a" is a tensor product like any other.
    assert Err(*names).value(products)[0] == pytest.approx(
        materialised.err(current, targets, *names).item(), rel=1e-10, abs=1e-12
    )
    assert Size(*names).value(products)[0] == pytest.approx(
        materialised.size(current, *names).item(), rel=1e-10, abs=1e-12
    )


def test_closed_form_at_the_paper_dimensions():
    model = CoopetitionModel()
    drawn = draw_vectors(model.dims, [0])
    current, targets = materialised.of_seed(drawn, 0)
    value = model.loss.value(inner_products(drawn))[0]
    assert value == pytest.approx(
        materialised.coopetition_loss(current, targets, 0.1, 0.1).item(), rel=1e-12
    )


LOSSES = {
    "phase change": (Err("a", "b", "c"), lambda x, t: materialised.err(x, t, "a", "b", "c")),
    "coopetition": (
        CoopetitionModel(mu1=0.3, alpha=0.7).loss,
        lambda x, t: materialised.coopetition_loss(x, t, 0.3, 0.7),
    ),
    "a factor twice, sums, numbers on either side": (
        2 * (Err("a", "a", "b") + 0.5 + Size("c", "c")) * (1 + Err("d")) * Err("d", "c"),
        lambda x, t: (
            2
            * (materialised.err(x, t, "a", "a", "b") + 0.5 + materialised.size(x, "c", "c"))
            * (1 + materialised.err(x, t, "d"))
            * materialised.err(x, t, "d", "c")
        ),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_match_autograd_on_the_materialised_tensors(name):
    loss, independent = LOSSES[name]
    drawn = draw_vectors(SMALL, [3, 4])
    ours = gradients(loss, drawn)
    for row in range(2):
        current, targets = materialised.of_seed(drawn, row, requires_grad=True)
        independent(current, targets).backward()
        for vector, tensor in current.items():
            theirs = np.zeros(SMALL[vector]) if tensor.grad is None else tensor.grad.numpy()
            np.testing.assert_allclose(ours[vector][row], theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_match_finite_differences(name):
    loss, _ = LOSSES[name]
    drawn = draw_vectors(SMALL, [5])
    step = 1e-5
    for place, (vector, dim) in enumerate(SMALL.items()):
        for entry in range(dim):
            values = []
            for sign in (1, -1):
                moved = drawn.current.copy()
                moved[0, place, entry] += sign * step
                products = inner_products(Vectors(SMALL, moved, drawn.targets))
                values.append(loss.value(products)[0])
            slope = (values[0] - values[1]) / (2 * step)
            assert gradients(loss, drawn)[vector][0, entry] == pytest.approx(
                slope, rel=1e-6, abs=1e-8
            )


def test_a_product_with_a_zero_factor_keeps_its_gradient():
    # Leaving one factor out of a product must not divide by it.
    drawn = draw_vectors(SMALL, [0])
    current = drawn.current.copy()
    current[:, 0] = 0.0
    at_zero_a = Vectors(SMALL, current, drawn.targets)
    tensors, targets = materialised.of_seed(at_zero_a, 0, requires_grad=True)
    materialised.err(tensors, targets, "a", "b", "c").backward()
    ours = gradients(Err("a", "b", "c"), at_zero_a)
    np.testing.assert_allclose(ours["a"][0], tensors["a"].grad.numpy(), rtol=1e-12)
    assert np.abs(ours["a"]).max() > 0


def test_an_error_at_its_target_is_zero_and_never_negative():
    drawn = draw_vectors(SMALL, list(range(50)))
    there = Vectors(SMALL, drawn.targets * (1 + 1e-9), drawn.targets)
    values = Err("a", "b", "c").value(inner_products(there))
    assert (values >= 0).all()
    assert (values < 1e-14).all()


class TestSaddleAtZero:
    """Thesis, Appendix C.4."""

    drawn = draw_vectors({"a": 3, "b": 4, "c": 2}, [0])
    entries = 24

    def at(self, current):
        return Vectors(self.drawn.dims, current, self.drawn.targets)

    def loss(self, current):
        return Err("a", "b", "c").value(inner_products(self.at(current)))[0]

    def test_first_derivatives_vanish(self):
        zero = np.zeros_like(self.drawn.current)
        for gradient in gradients(Err("a", "b", "c"), self.at(zero)).values():
            assert (gradient == 0).all()

    @pytest.mark.parametrize("names", [("a", "b", "c"), ("a", "b")])
    def test_second_derivatives_vanish_for_three_vectors_but_not_for_two(self, names):
        zero = np.zeros_like(self.drawn.current)
        step = 1e-4
        hessian = []
        for place, dim in enumerate(self.drawn.dims.values()):
            for entry in range(dim):
                moved = zero.copy()
                moved[0, place, entry] = step
                found = gradients(Err(*names), self.at(moved))
                hessian.append(np.concatenate([part[0] for part in found.values()]) / step)
        largest = np.abs(np.array(hessian)).max()
        if len(names) == 3:
            assert largest == 0
        else:
            # The off-diagonal block is minus a* b*^T over the number of entries.
            _, targets = materialised.of_seed(self.drawn, 0)
            expected = (torch.outer(targets["a"], targets["b"]) / 12).abs().max().item()
            assert largest == pytest.approx(expected)

    @pytest.mark.parametrize(("sign", "goes"), [(1, "down"), (-1, "up")])
    @pytest.mark.parametrize("places", [(0, 0, 0), (2, 3, 1), (1, 0, 1)])
    def test_the_two_directions_go_down_and_up_as_epsilon_cubed(self, sign, goes, places):
        zero = np.zeros_like(self.drawn.current)
        direction = zero.copy()
        for vector, place in enumerate(places):
            direction[0, vector, place] = self.drawn.targets[0, vector, place]
        direction[0, 0] *= sign
        target_entry = math.prod(
            self.drawn.targets[0, vector, place] for vector, place in enumerate(places)
        )
        # Half the mean, so the sum of C.4.2 over the number of entries.
        scale = target_entry**2 / self.entries
        for epsilon in (0.5, 0.1, 0.02):
            change = self.loss(epsilon * direction) - self.loss(zero)
            assert change == pytest.approx(
                0.5 * scale * (epsilon**6 - sign * 2 * epsilon**3), rel=1e-6, abs=1e-15
            )
            assert (change < 0) == (goes == "down")
        assert change / 0.02**3 == pytest.approx(-sign * scale, rel=1e-4, abs=1e-10)


def test_unknown_and_missing_names_are_refused():
    products = inner_products(draw_vectors(SMALL, [0]))
    with pytest.raises(ValueError, match=r"no vector named 'z'; the vectors are a, b, c, d"):
        Err("a", "z").value(products)
    with pytest.raises(ValueError, match="at least one vector"):
        Size()
