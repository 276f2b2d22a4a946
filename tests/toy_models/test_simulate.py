import numpy as np
import pytest
import torch

from coopetition_interp.toy_models import (
    CoopetitionModel,
    DivergedError,
    Err,
    draw_vectors,
    gradient_descent,
)

from . import materialised

MODEL = CoopetitionModel(dims={"a": 6, "b": 5, "c": 4, "d": 12})
SEEDS = list(range(12))


def run(seeds, steps=150, **options):
    return gradient_descent(MODEL.dims, MODEL.loss, seeds, steps, **options)


def test_descent_matches_torch_sgd_on_the_materialised_loss():
    seed, steps = 2, 25
    ours = run([seed], steps)
    current, targets = materialised.of_seed(draw_vectors(MODEL.dims, [seed]), 0, requires_grad=True)
    optimiser = torch.optim.SGD(current.values(), lr=1.0)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = materialised.coopetition_loss(current, targets, MODEL.mu1, MODEL.alpha)
        loss.backward()
        losses.append(loss.item())
        optimiser.step()
    np.testing.assert_allclose(ours.value(MODEL.loss)[:-1, 0], losses, rtol=1e-9)
    for name, (vectors, _) in ours.vectors.unpadded().items():
        np.testing.assert_allclose(vectors[0], current[name].detach().numpy(), rtol=1e-9)


def test_runs_are_deterministic():
    np.testing.assert_array_equal(
        run(SEEDS).products.squared_norms, run(SEEDS).products.squared_norms
    )


@pytest.mark.parametrize("stop_below", [None, 0.1])
def test_a_seed_alone_is_the_seed_in_a_batch(stop_below):
    batch = run(SEEDS, stop_below=stop_below)
    for column in (0, 5, 11):
        alone = run([SEEDS[column]], stop_below=stop_below)
        last = int(batch.last_steps[column])
        assert alone.last_steps[0] == last
        for name in ("squared_norms", "overlaps"):
            np.testing.assert_allclose(
                getattr(alone.products, name)[: last + 1, 0],
                getattr(batch.products, name)[: last + 1, column],
                rtol=1e-9,
            )
        np.testing.assert_allclose(
            alone.vectors.current[0], batch.vectors.current[column], rtol=1e-9, atol=1e-12
        )


def test_the_draws_of_a_seed_do_not_depend_on_other_seeds():
    np.testing.assert_array_equal(
        draw_vectors(MODEL.dims, [7]).current[0], draw_vectors(MODEL.dims, [3, 7]).current[1]
    )
    # Standard normal, and the padding is zero.
    many = draw_vectors({"a": 400, "b": 200}, list(range(100)))
    assert abs(many.current[:, 0].mean()) < 0.02
    assert many.current[:, 0].std() == pytest.approx(1, abs=0.02)
    assert many.targets[:, 1, :200].std() == pytest.approx(1, abs=0.02)
    assert (many.current[:, 1, 200:] == 0).all()


def test_clamped_vectors_sit_at_their_targets_and_the_others_start_as_unclamped():
    clamped = run(SEEDS, steps=30, clamped=("b", "d"))
    for name, (vectors, targets) in clamped.vectors.unpadded().items():
        assert np.array_equal(vectors, targets) == (name in ("b", "d"))
    free = run(SEEDS, steps=0)
    for name, (vectors, _) in run(SEEDS, steps=0, clamped=("b", "d")).vectors.unpadded().items():
        if name not in ("b", "d"):
            np.testing.assert_array_equal(vectors, free.vectors.unpadded()[name][0])


def test_early_stopping_is_per_seed_at_the_first_loss_below():
    stopped = run(SEEDS, stop_below=0.1)
    full = run(SEEDS).value(MODEL.loss)
    values = stopped.value(MODEL.loss)
    assert len(set(stopped.last_steps)) > 2
    for column, last in enumerate(stopped.last_steps):
        np.testing.assert_allclose(values[: last + 1, column], full[: last + 1, column], rtol=1e-9)
        assert np.isnan(values[last + 1 :, column]).all()
        assert (values[:last, column] >= 0.1).all()
        if last < 150:
            assert values[last, column] < 0.1


def test_when_all_seeds_have_stopped_the_run_ends():
    everywhere_below = run(SEEDS, stop_below=1e9)
    assert (everywhere_below.last_steps == 0).all()
    assert everywhere_below.products.squared_norms.shape == (1, len(SEEDS), 4)


def test_the_table_is_tidy_thinned_and_ends_with_each_seeds_last_step():
    stopped = run([4, 2], stop_below=0.1)
    table = stopped.table({"loss": MODEL.loss, "second": MODEL.mechanism_2}, every=50)
    assert list(table.columns) == ["step", "seed", "quantity", "value"]
    assert table["value"].notna().all()
    for column, seed in enumerate(stopped.seeds):
        loss = table[(table["seed"] == seed) & (table["quantity"] == "loss")]
        last = int(stopped.last_steps[column])
        assert list(loss["step"]) == sorted({*range(0, last + 1, 50), last})
        np.testing.assert_allclose(
            loss["value"], stopped.value(MODEL.loss)[loss["step"], column], rtol=1e-12
        )


def test_saddle_value_is_the_loss_with_all_vectors_zero():
    expected = [
        materialised.err(
            {name: torch.zeros_like(target) for name, target in targets.items()},
            targets,
            "a",
            "b",
            "c",
        ).item()
        for _, targets in (
            materialised.of_seed(draw_vectors(MODEL.dims, SEEDS), row) for row in range(12)
        )
    ]
    np.testing.assert_allclose(run(SEEDS, steps=3).saddle_value(MODEL.mechanism_1), expected)


def test_bad_input_is_refused_with_the_mend():
    err = Err("a", "b")
    dims = {"a": 2, "b": 3}
    with pytest.raises(ValueError, match=r"no dimension given for vector\(s\) b"):
        gradient_descent({"a": 2}, err, [0], 5)
    with pytest.raises(ValueError, match=r"no dimension given for vector\(s\) z"):
        gradient_descent(dims, err, [0], 5, clamped=("z",))
    with pytest.raises(ValueError, match="must be distinct"):
        gradient_descent(dims, err, [1, 1], 5)
    with pytest.raises(ValueError, match="steps must not be negative"):
        gradient_descent(dims, err, [1], -1)
    with pytest.raises(ValueError, match="'b' has dimension 0"):
        draw_vectors({"a": 2, "b": 0}, [1])
    with pytest.raises(DivergedError, match=r"seed\(s\) \[0\].*below 100"):
        gradient_descent(dims, err, [0], 500, learning_rate=100.0)
