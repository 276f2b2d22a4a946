"""Clamps run eagerly, over many checkpoints, traced with their gradient, and in a `with` block."""

import numpy as np
import pytest
import torch
from small_models import leaves, n_hooks, query_loss_gradients, small_model, small_sequences
from torch.fx.experimental.proxy_tensor import make_fx
from unchecked import without_shape_checks

from coopetition_interp.interventions import (
    AblateHeads,
    CopyFromHead,
    GraftIn,
    GraftOut,
    HeadTemperature,
    InductionHeads,
    Preserve,
    PreviousTokenHeads,
    bind,
    clamped,
    layer_heads,
    run_clamped,
    run_clamped_with_cache,
)
from coopetition_interp.tasks.exemplar_label.sequences import Sequences

from .rounding import assert_equal_but_for_rounding
from .test_definitions import ALONE, CLAMPS_OF_A_MOMENT, TOGETHER

CASES = {name: case.clamps for name, case in (ALONE | TOGETHER).items()}
CASES["graft in"] = [GraftIn(small_model(init_seed=7), 0)]
CASES["graft out"] = [GraftOut(small_model(init_seed=7), 0)]

RECORDED = [  # recording takes a while: one case per clamp
    "previous token",
    "block, label rows",
    "self attention, label rows",
    "induction",
    "soft match",
    "match",
    "ablate",
    "ablate embedding",
    "silence",
    "temperature, detached",
    "steps 1, 2, 3v, 5 of a single head (thesis, Fig. 4.6b)",
    "preserved patterns",
    "graft in",
    "graft out",
]


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_step_gives_loss_and_gradients_of_a_new_batch(name):
    model, batch, other = small_model(), small_sequences(seed=0), small_sequences(seed=1)
    bound = bind(CASES[name], model)
    weights = leaves(model)

    def step(values, exemplars, labels, roles):
        own = {n: v.detach().requires_grad_() for n, v in zip(weights, values, strict=True)}
        sequences = Sequences(exemplars, labels, roles)
        logits = run_clamped(model, sequences, bound, parameters=own)
        loss, gradients = query_loss_gradients(logits, sequences, own)
        return [loss, *gradients.values()]

    values = [w.detach() for w in weights.values()]
    with without_shape_checks():
        recorded = make_fx(step)(values, batch.exemplars, batch.labels, batch.roles)
    changed = [v + 0.1 for v in values]
    replayed = recorded(changed, other.exemplars, other.labels, other.roles)
    eager = step(changed, other.exemplars, other.labels, other.roles)
    for ours, theirs in zip(replayed, eager, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert n_hooks(model) == 0


def test_every_clamp_is_recorded():
    recorded = {type(clamp) for name in RECORDED for clamp in CASES[name]}
    assert recorded == CLAMPS_OF_A_MOMENT


@pytest.mark.parametrize("name", list(CASES))
def test_weights_of_many_checkpoints_run_as_one_batch(name):
    model, sequences = small_model(), small_sequences()
    checkpoints = [leaves(small_model(init_seed=seed)) for seed in (1, 2, 3)]
    stacked = {n: torch.stack([c[n].detach() for c in checkpoints]) for n in checkpoints[0]}
    bound = bind(CASES[name], model)

    def query_logits(weights):
        return run_clamped(model, sequences, bound, parameters=weights)

    with without_shape_checks():
        together = torch.func.vmap(query_logits)(stacked)
    for i, checkpoint in enumerate(checkpoints):
        torch.testing.assert_close(together[i], query_logits(checkpoint), rtol=1e-9, atol=1e-10)
    own = run_clamped(small_model(init_seed=2), sequences, CASES[name])
    torch.testing.assert_close(together[1], own, rtol=1e-9, atol=1e-10)


def test_no_clamps_is_the_plain_model():
    model, sequences = small_model(), small_sequences()
    assert_equal_but_for_rounding(
        run_clamped(model, sequences, []), model(sequences, "query_logits")
    )
    logits, cache = run_clamped_with_cache(model, sequences, [])
    assert_equal_but_for_rounding(logits, model(sequences, "query_logits"))
    assert set(cache.keys()) == set(model.run_with_cache(sequences)[1].keys())


def test_return_types():
    model, sequences = small_model(), small_sequences()
    clamps = [PreviousTokenHeads([(0, 1)]), HeadTemperature([(1, 0)], 0.5)]
    logits = run_clamped(model, sequences, clamps, return_type="logits")
    query_logits = run_clamped(model, sequences, clamps)
    loss = run_clamped(model, sequences, clamps, return_type="loss")
    torch.testing.assert_close(logits[:, -1], query_logits)
    expected = torch.nn.functional.cross_entropy(query_logits, sequences.right_labels)
    torch.testing.assert_close(loss, expected)


def test_copy_from_head_leaves_logits_of_other_tokens_alone():
    model, sequences = small_model(), small_sequences()
    logits = run_clamped(model, sequences, [CopyFromHead((1, 0))], return_type="logits")
    assert_equal_but_for_rounding(logits[:, :-1], model(sequences)[:, :-1])
    torch.testing.assert_close(logits[:, -1], run_clamped(model, sequences, [CopyFromHead((1, 0))]))


def test_the_cache_holds_what_clamps_left():
    model, sequences = small_model(), small_sequences()
    logits, cache = run_clamped_with_cache(
        model, sequences, [InductionHeads([(1, 1)]), HeadTemperature([(0, 0)], 0.5)]
    )
    right = sequences.context_labels == sequences.right_labels[:, None]
    assert torch.equal(cache["pattern", 1][:, 1, -1, 1::2], right.double())
    _, plain = model.run_with_cache(sequences)
    halved = plain["attn_scores", 0][:, 0] / 0.5
    assert_equal_but_for_rounding(cache["attn_scores", 0][:, 0], halved)
    assert torch.equal(cache["unembed.hook_out"][:, 0], logits)
    parts = cache.decompose_resid(layer=-1)
    torch.testing.assert_close(parts.sum(0), cache["resid_post", 1])
    assert n_hooks(model) == 0
    assert not model.is_caching


def test_detach_changes_what_learns_but_not_the_output():
    model, sequences = small_model(), small_sequences()
    weights = model.trainable_parameters()
    ablate = AblateHeads(layer_heads(model.cfg, 0))
    runs = {
        detach: run_clamped(model, sequences, [Preserve(patterns=(1,), detach=detach), ablate])
        for detach in (False, True)
    }
    assert_equal_but_for_rounding(runs[False], runs[True])
    kept, cut = (
        query_loss_gradients(runs[detach], sequences, weights)[1] for detach in (False, True)
    )
    # With layer 0 ablated, its queries and the queries of layer 1 act through the first pass only.
    for name in ("blocks.0.attn.W_V", "blocks.1.attn.W_Q"):
        assert kept[name].abs().max() > 1e-6
        assert (cut[name] == 0).all()
    assert cut["blocks.1.attn.W_V"].abs().max() > 1e-6


def test_one_first_pass_serves_all_two_pass_clamps():
    model, sequences = small_model(), small_sequences()
    runs = []
    model.blocks[0].hook_resid_pre.add_hook(lambda value, hook: runs.append(1))
    clamps = [Preserve(patterns=True), HeadTemperature([(1, 0)], 2.0), CopyFromHead((1, 1))]
    run_clamped(model, sequences, clamps)
    assert len(runs) == 2
    model.reset_hooks()


class Interrupted(BaseException):
    """As KeyboardInterrupt: not an Exception."""


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, Interrupted])
@pytest.mark.parametrize("which_call", [1, 2])
@pytest.mark.parametrize("how", ["run", "cache", "with"])
def test_nothing_is_left_behind_when_an_exception_passes(error, which_call, how):
    model, donor, sequences = small_model(), small_model(init_seed=7), small_sequences()
    before = {name: id(p) for name, p in model.named_parameters()}
    calls = []

    def fail(value, hook):
        calls.append(1)
        if len(calls) == which_call:
            raise error("in the middle of a pass")

    point = model.blocks[1].attn.hook_v
    point.add_hook(fail)
    clamps = [GraftIn(donor, 0), Preserve(patterns=True), AblateHeads([(1, 0)])]

    def run_in_with_block(model, sequences, clamps):
        with clamped(model, sequences, clamps):
            model(sequences)

    run = {"run": run_clamped, "cache": run_clamped_with_cache, "with": run_in_with_block}[how]
    with pytest.raises(error):
        run(model, sequences, clamps)
    point.remove_hooks()
    assert n_hooks(model) == 0
    assert not model.is_caching
    assert {name: id(p) for name, p in model.named_parameters()} == before
    fresh = small_model()
    assert torch.equal(model(sequences), fresh(sequences))


def test_a_mistake_while_hooking_leaves_nothing_behind():
    model, sequences = small_model(), small_sequences()
    model.hook_dict.pop("blocks.1.attn.hook_pattern")
    with pytest.raises(
        ValueError, match=r"sets 'blocks.1.attn.hook_pattern', but the model has no"
    ):
        run_clamped(model, sequences, [PreviousTokenHeads([(0, 0), (1, 0)])])
    assert n_hooks(model) == 0


@pytest.mark.parametrize("name", list(CASES))
def test_with_block_runs_as_run_clamped_does(name):
    model, sequences = small_model(), small_sequences()
    plain = model(sequences)
    with clamped(model, sequences, CASES[name]) as same:
        assert same is model
        first = model(sequences, return_type="query_logits")
        model.reset_hooks()  # as a careful user does; the clamps stay
        second = model(sequences, return_type="query_logits")
    assert_equal_but_for_rounding(first, run_clamped(model, sequences, CASES[name]))
    assert torch.equal(first, second)
    assert torch.equal(model(sequences), plain)
    assert n_hooks(model) == 0


@pytest.mark.parametrize("added", ["before", "inside"])
def test_own_hooks_run_after_clamps_in_a_with_block(added):
    model, sequences = small_model(), small_sequences()
    name, seen = "blocks.0.attn.hook_pattern", []

    def own(pattern, hook):
        seen.append(pattern.detach().clone())
        return torch.zeros_like(pattern)

    if added == "before":
        model.add_hook(name, own)
    clamps = [PreviousTokenHeads([(0, 1)], strength=0.7)]
    with clamped(model, sequences, clamps):
        if added == "inside":
            model.add_hook(name, own)
        _, cache = model.run_with_cache(sequences)
    assert (seen[0][:, 1, 3, 2] == 0.7).all()  # the clamp had been there
    assert (cache[name] == 0).all()  # and the user had the last word
    assert len(model.hook_dict[name].fwd_hooks) == 1  # the user's own hook is the user's to remove
    model.reset_hooks()
    assert n_hooks(model) == 0


def test_other_clamps_are_refused_where_some_are_held():
    model, sequences = small_model(), small_sequences()
    held, other = [Preserve(values=True)], [AblateHeads([(0, head) for head in range(4)])]
    told = r"clamped already, by Preserve.*, which would undo what AblateHeads.*both in one list"
    with clamped(model, sequences, held):
        with pytest.raises(ValueError, match=told):
            run_clamped(model, sequences, other)
        with pytest.raises(ValueError, match=told):
            run_clamped_with_cache(model, sequences, other)
        with pytest.raises(ValueError, match=told), clamped(model, sequences, other):
            pass
        nothing_more = run_clamped(model, sequences, [])
    assert_equal_but_for_rounding(nothing_more, run_clamped(model, sequences, held))
    assert n_hooks(model) == 0
    with clamped(model, sequences, []):  # nothing is held
        inside = run_clamped(model, sequences, other)
    assert_equal_but_for_rounding(inside, run_clamped(model, sequences, other))


def test_with_block_refuses_another_batch_where_the_clamp_depends_on_it():
    model, sequences, other = small_model(), small_sequences(), small_sequences(seed=1)
    with (
        clamped(model, sequences, [InductionHeads([(1, 0)])]),
        pytest.raises(ValueError, match=r"InductionHeads.*holds for the sequences given"),
    ):
        model(other)
    with clamped(model, sequences, [PreviousTokenHeads([(0, 0)])]):
        freely = model(other, return_type="query_logits")
    assert_equal_but_for_rounding(freely, run_clamped(model, other, [PreviousTokenHeads([(0, 0)])]))


def test_gradients_reach_the_model_in_a_with_block():
    model, sequences = small_model(), small_sequences()
    clamps = [HeadTemperature([(1, 0)], 0.5), AblateHeads([(1, 1)])]
    with clamped(model, sequences, clamps):
        model(sequences, return_type="loss").backward()
    expected = query_loss_gradients(
        run_clamped(model, sequences, clamps), sequences, model.trainable_parameters()
    )[1]
    for name, parameter in model.trainable_parameters().items():
        torch.testing.assert_close(parameter.grad, expected[name])


def test_bound_clamps_fit_any_model_of_the_same_shape():
    sequences = small_sequences()
    bound = bind([InductionHeads([(1, 1)])], small_model())
    other = small_model(init_seed=5)
    logits = run_clamped(other, sequences, bound)
    assert torch.equal(logits, run_clamped(other, sequences, bound.clamps))
    assert bind(bound, other) is bound
    with pytest.raises(ValueError, match="bound to a model of another shape"):
        run_clamped(small_model(n_heads=2), sequences, bound)


def test_layer_heads():
    cfg = small_model().cfg
    assert layer_heads(cfg, 1) == [(1, 0), (1, 1), (1, 2), (1, 3)]
    assert layer_heads(cfg, 0, but=[2]) == [(0, 0), (0, 1), (0, 3)]
    with without_shape_checks():  # the type checker takes numpy's integers for no int
        assert layer_heads(cfg, 0, but=np.array([2, 3])) == [(0, 0), (0, 1)]
