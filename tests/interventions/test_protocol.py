"""What a clamp of one's own can get wrong is an error that names it, none of them silent."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from small_models import n_hooks, small_model, small_sequences
from transformer_lens import HookedTransformer, HookedTransformerConfig
from unchecked import without_shape_checks

from coopetition_interp.analysis.attention_strengths import head_strengths
from coopetition_interp.interventions import (
    AblateHeads,
    Claim,
    Clamp,
    CopyFromHead,
    GraftOut,
    HeadTemperature,
    InductionHeads,
    MatchHeads,
    PerfectLayer0,
    Preserve,
    PreviousTokenHeads,
    SelfAttentionHeads,
    SilenceExemplarAttention,
    TwoPassClamp,
    bind,
    clamped,
    known_clamps,
    run_clamped,
    run_clamped_with_cache,
)

from .rounding import assert_equal_but_for_rounding

PATTERN = "blocks.1.attn.hook_pattern"


@dataclass(frozen=True)
class Sets(Clamp):
    """Does what it is told, right or wrong."""

    name: object = PATTERN
    edit: object = torch.relu

    def edits(self, batch):
        yield self.name, self.edit


@dataclass(frozen=True)
class TakesFrom(TwoPassClamp):
    """Puts an activation of the first pass in its place."""

    name: str
    detach: bool = False
    takes: str | None = None

    def first_pass_reads(self, cfg):
        return {self.name}

    def edits(self, batch):
        kept = batch.from_first_pass(self.takes or self.name, self.detach)
        yield self.name, lambda _: kept


@dataclass(frozen=True)
class OnePassThatReads(Clamp):
    def first_pass_reads(self, cfg):
        return {PATTERN}

    def edits(self, batch):
        return iter(())


@dataclass(frozen=True)
class NoDetach(TwoPassClamp):
    def first_pass_reads(self, cfg):
        return {PATTERN}

    def edits(self, batch):
        return iter(())


@dataclass(frozen=True)
class ReadsNothing(TwoPassClamp):
    detach: bool = False

    def edits(self, batch):
        return iter(())


@dataclass(frozen=True)
class SetsNothing(Clamp):
    strength: float = 1.0


class NoDataclass(Sets):
    pass


@dataclass
class NotFrozen(Clamp):
    def edits(self, batch):
        return iter(())


@dataclass(frozen=True)
class HasAKind(Clamp):
    kind: str = "x"

    def edits(self, batch):
        return iter(())


@dataclass(frozen=True)
class ClaimsInWords(Sets):
    def claims(self, cfg):
        return {"the attention pattern"}


def run_inside(model, sequences, clamps):
    with clamped(model, sequences, clamps):
        model.run_with_cache(sequences)


@dataclass(frozen=True)
class ClaimsABlock(Sets):
    def claims(self, cfg):
        return {Claim("attention pattern", layer=1)}


@dataclass(frozen=True)
class EditsReturns(Clamp):
    value: object

    def edits(self, batch):
        return self.value


@dataclass(frozen=True)
class Replaces(Clamp):
    name: str
    shape: tuple[int, ...]

    def replaced_weights(self, model):
        return {self.name: torch.zeros(self.shape)}


@pytest.mark.parametrize(
    ("clamp", "error", "message"),
    [
        (NoDetach(), TypeError, r"NoDetach is a two-pass clamp and must say .* `detach: bool"),
        (OnePassThatReads(), TypeError, "OnePassThatReads reads a first pass: subclass TwoPass"),
        (ReadsNothing(), ValueError, "ReadsNothing.* first_pass_reads is empty"),
        (SetsNothing(), TypeError, "SetsNothing sets nothing: write its edits"),
        (NoDataclass(), TypeError, r"NoDataclass is no frozen dataclass: write @dataclass"),
        (NotFrozen(), TypeError, "NotFrozen is no frozen dataclass"),
        (HasAKind(), TypeError, "no field can be called kind"),
        (ClaimsInWords(), TypeError, r"claims\(\) gives Claim.*; got 'the attention pattern'"),
        (
            TakesFrom("blocks.1.attn.hook_patern"),
            ValueError,
            r"TakesFrom.*reads in the first pass 'blocks.1.attn.hook_patern', but the model has no"
            r" such hook point; like it: blocks.1.attn.hook_pattern",
        ),
        (
            Replaces("unembed.W_V", (2,)),
            ValueError,
            "unembed.W_V, of shape .2.; the model's is not",
        ),
        (Replaces("unembed.W_U", (2,)), ValueError, r"unembed.W_U.*the model's is \[12, 7\]"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Clamp) else "",
)
def test_errors_at_binding(clamp, error, message):
    with pytest.raises(error, match=message):
        bind([clamp], small_model())


@pytest.mark.parametrize(
    ("clamp", "error", "message"),
    [
        (Sets("blocks.1.attn.hook_patern"), ValueError, "sets 'blocks.1.*no such hook point; like"),
        (Sets("blocks.2.hook_resid_pre"), ValueError, "no such hook point"),
        (Sets("blocks.0.attn.hook_result"), ValueError, "has but does not run: nothing would be"),
        (
            Sets(edit=lambda _: None),
            ValueError,
            f"Sets.*edit of {PATTERN} must return.*returned None",
        ),
        (Sets(edit=lambda _: 0.5), ValueError, "must return the activation; it returned 0.5"),
        (Sets(edit=lambda p: p[0]), ValueError, r"\[6, 4, 5, 5\]; it returned one of shape \[4, 5"),
        (Sets(edit=None), TypeError, r"edits\(\) gives \(hook point, function\) pairs; got"),
        (Sets(name=3), TypeError, "function. pairs"),
        (EditsReturns(None), TypeError, "function. pairs; got None"),
        (EditsReturns((PATTERN, torch.relu)), TypeError, "function. pairs; got 'blocks"),
        (TakesFrom("blocks.0.attn.hook_result"), ValueError, "hook_result, which this model has"),
        (TakesFrom(PATTERN, takes="hook_embed"), ValueError, "first_pass_reads does not name it"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Clamp) else "",
)
@pytest.mark.parametrize("run", [run_clamped, run_clamped_with_cache, run_inside])
def test_errors_when_a_batch_comes(clamp, error, message, run):
    model, sequences = small_model(), small_sequences()
    with without_shape_checks(), pytest.raises(error, match=message) as raised:
        run(model, sequences, [clamp, AblateHeads([(0, 0)])])
    assert type(clamp).__name__ in str(raised.value)
    assert len(str(raised.value)) < 600
    assert n_hooks(model) == 0


@pytest.mark.parametrize(
    ("place", "switch"),
    [
        ("attn.hook_result", "set_use_attn_result"),
        ("hook_q_input", "set_use_split_qkv_input"),
        ("hook_attn_in", "set_use_attn_in"),
    ],
)
def test_a_held_model_is_not_run_past_what_is_held(place, switch):
    model, sequences = small_model(), small_sequences()
    clamp = Sets(f"blocks.1.{place}", edit=lambda x: x)
    with pytest.raises(ValueError, match=r"Sets.*has but does not run: nothing would be held"):
        head_strengths(model, sequences, [clamp])
    with clamped(model, sequences, [clamp, Sets("hook_embed", edit=lambda x: x)]):
        model(sequences, stop_at_layer=1)  # nothing that is held lies there
        getattr(model, switch)(True)
        model(sequences)
    assert n_hooks(model) == 0
    assert not model._forward_hooks


def test_claims_overlap_where_one_names_all_heads():
    for pair in (
        [ClaimsABlock(), InductionHeads([(1, 2)])],
        [MatchHeads([(1, 0)]), ClaimsABlock()],
    ):
        with pytest.raises(ValueError, match="both set the attention pattern of head"):
            bind(pair, small_model())
    bind([ClaimsABlock(), PreviousTokenHeads([(0, 2)])], small_model())


def test_two_clamps_that_replace_one_weight_contradict():
    with pytest.raises(ValueError, match=r"both set unembed.W_U; keep one"):
        bind([Replaces("unembed.W_U", (12, 7)), GraftOut(small_model(), 0)], small_model())


def test_two_classes_of_one_name_are_named_both():
    with pytest.raises(
        TypeError, match=r"name AblateHeads: .*ablations.AblateHeads and .*<locals>"
    ):

        class AblateHeads(Clamp):
            pass

    assert known_clamps()["AblateHeads"].__module__ == "coopetition_interp.interventions.ablations"


def test_a_class_defined_again_takes_its_own_place():
    def definition(strength):
        @dataclass(frozen=True, slots=True)
        class DefinedAgain(Clamp):
            how_strong: float = strength

        return DefinedAgain

    first, second = definition(0.1), definition(0.2)
    assert first is not second
    assert known_clamps()["DefinedAgain"] is second


def hook_points(model: HookedTransformer) -> list[str]:
    """Those that fire in a plain run."""
    return list(model.run_with_cache(small_sequences())[1].keys())


@pytest.mark.parametrize("mlps", [False, True])
def test_any_hook_point_can_be_read_in_the_first_pass(mlps):
    model, sequences = small_model(mlps=mlps), small_sequences()
    plain = run_clamped(model, sequences, [])
    names = hook_points(model)
    assert {"hook_embed", "ln_final.hook_scale", "unembed.hook_out"} < set(names)
    for name in names:
        held = run_clamped(model, sequences, [TakesFrom(name)])
        assert_equal_but_for_rounding(held, plain)


@pytest.mark.parametrize("name", ["hook_embed", "ln_final.hook_normalized", "unembed.hook_out"])
def test_what_is_read_outside_the_blocks_is_of_the_first_pass(name):
    model, sequences = small_model(), small_sequences()
    ablate = AblateHeads([(0, 0), (1, 1)])
    held = run_clamped(model, sequences, [TakesFrom(name), ablate])
    expected = run_clamped(model, sequences, [ablate] if name == "hook_embed" else [])
    assert_equal_but_for_rounding(held, expected)


@dataclass(frozen=True)
class ShapesTheFirstPass(Sets):
    def first_pass_edits(self, batch):
        yield "blocks.1.hook_resid_pre", torch.zeros_like


def test_a_first_pass_need_not_come_to_every_edit_of_it():
    model, sequences = small_model(), small_sequences()
    reads = HeadTemperature([(0, 0)], 2.0)  # of block 0 alone
    held = run_clamped(model, sequences, [ShapesTheFirstPass(), reads])
    assert_equal_but_for_rounding(held, run_clamped(model, sequences, [Sets(), reads]))


def test_a_token_models_embedding_can_be_read():
    cfg = HookedTransformerConfig(
        n_layers=1, d_model=8, n_ctx=5, d_head=4, d_vocab=6, act_fn="relu", device="cpu"
    )
    model, tokens = HookedTransformer(cfg), torch.tensor([[1, 2, 3], [4, 5, 0]])
    for name in ("hook_embed", "hook_pos_embed", "ln_final.hook_normalized", "unembed.hook_out"):
        held = run_clamped(model, tokens, [TakesFrom(name)], return_type="logits")
        torch.testing.assert_close(held, model(tokens), rtol=1e-5, atol=1e-5)  # float32, two ways


LOOKS = [
    SilenceExemplarAttention([(1, 0)]),
    InductionHeads([(1, 0)]),
    MatchHeads([(1, 0)]),
    PreviousTokenHeads([(0, 0)], label_rows_only=True),
    SelfAttentionHeads([(0, 0)], label_rows_only=True),
    CopyFromHead((1, 0)),
    HeadTemperature([(1, 0)], 2.0),
    Preserve(patterns=True),
    PerfectLayer0(),
    TakesFrom("hook_embed"),
]


@pytest.mark.parametrize("clamp", LOOKS)
@pytest.mark.parametrize("n_pairs", [1, 2])
def test_a_clamp_that_looked_at_its_batch_refuses_another(clamp, n_pairs):
    model, sequences = small_model(), small_sequences()
    other = small_sequences(seed=1, n_pairs=n_pairs)
    with clamped(model, sequences, [AblateHeads([(0, 1)]), clamp]):
        before = model(sequences)
        with pytest.raises(ValueError, match=f"{type(clamp).__name__}.*holds for the sequences"):
            model(other)
        with pytest.raises(ValueError, match="holds for the sequences"):
            model(other, return_type="query_logits")
        assert torch.equal(model(sequences), before)
    assert n_hooks(model) == 0


@pytest.mark.parametrize("clamp", [AblateHeads([(0, 1)]), SelfAttentionHeads([(0, 1)])])
def test_a_clamp_that_did_not_look_holds_for_any_batch(clamp):
    model, sequences, other = small_model(), small_sequences(), small_sequences(seed=1)
    with clamped(model, sequences, [clamp]):
        held = model(other, return_type="query_logits")
    assert_equal_but_for_rounding(held, run_clamped(model, other, [clamp]))


@dataclass(frozen=True)
class LooksLate(Clamp):
    """Looks at the batch when it is applied, not when edits are made."""

    tied_to_batch: ClassVar[bool] = False  # means nothing: whether it looked is found out

    def edits(self, batch) -> Iterator:
        def edit(pattern):
            rows = batch.labelled(self).label_positions
            return pattern.index_fill(2, torch.tensor(rows), 0.0)

        yield PATTERN, edit


def test_a_late_look_at_the_batch_is_found_out_too():
    model, sequences, other = small_model(), small_sequences(), small_sequences(seed=1)
    for first_run in (True, False):
        with clamped(model, sequences, [LooksLate()]):
            if first_run:
                model(sequences)
            with pytest.raises(ValueError, match=r"LooksLate.*holds for the sequences given"):
                model(other)
            model(sequences)
    assert n_hooks(model) == 0
