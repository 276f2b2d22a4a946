"""`transformer_lens.patching` on an `ExemplarLabelTransformer`."""

from dataclasses import replace

import pytest
import torch
from small_models import small_model, small_sequences
from transformer_lens import patching

ONE_AXIS = {  # what each patch sees, and the axes of its answer besides the layer
    "resid_pre": ("resid_pre", ("pos",)),
    "attn_out": ("attn_out", ("pos",)),
    "resid_mid": ("resid_mid", ("pos",)),
    "mlp_out": ("mlp_out", ("pos",)),
    "attn_head_out_all_pos": ("z", ("head",)),
    "attn_head_q_all_pos": ("q", ("head",)),
    "attn_head_k_all_pos": ("k", ("head",)),
    "attn_head_v_all_pos": ("v", ("head",)),
    "attn_head_pattern_all_pos": ("pattern", ("head",)),
    "attn_head_out_by_pos": ("z", ("pos", "head")),
    "attn_head_q_by_pos": ("q", ("pos", "head")),
    "attn_head_k_by_pos": ("k", ("pos", "head")),
    "attn_head_v_by_pos": ("v", ("pos", "head")),
    "attn_head_pattern_by_pos": ("pattern", ("head", "pos")),
    "attn_head_pattern_dest_src_pos": ("pattern", ("head", "pos", "pos")),
}
KINDS = ["out", "q", "k", "v", "pattern"]
EVERY = {  # which of the above each stacks
    "attn_head_all_pos_every": [f"attn_head_{of}_all_pos" for of in KINDS],
    "attn_head_by_pos_every": [f"attn_head_{of}_by_pos" for of in KINDS],
    "block_every": ["resid_pre", "attn_out", "mlp_out"],
}


class PatchingCase:
    """A clean and a corrupted batch on one model, and how far apart their answers are."""

    def __init__(self, **shape):
        self.model = small_model(**shape)
        self.clean = small_sequences()
        self.corrupted = replace(self.clean, labels=self.clean.labels[:, [1, 0, 2]])
        _, self.cache = self.model.run_with_cache(self.clean)

    def metric(self, logits):
        rows = torch.arange(len(self.clean))
        wrong = self.clean.context_labels[~self.clean.carries_right_label]
        query = logits[:, -1]
        return (query[rows, self.clean.right_labels] - query[rows, wrong]).mean()

    def patch(self, name):
        function = getattr(patching, f"get_act_patch_{name}")
        return function(self.model, self.corrupted, self.cache, self.metric)

    def by_hand(self, activation, layer, place):
        """The metric with the clean activation put at `place`, by an out-of-place hook."""
        name = f"blocks.{layer}." + ("attn." if activation in "qkvz pattern" else "")

        def put(corrupted, hook):
            patched = corrupted.clone()
            patched[place] = self.cache[hook.name][place]
            return patched

        hooks = [(f"{name}hook_{activation}", put)]
        return self.metric(self.model.run_with_hooks(self.corrupted, fwd_hooks=hooks)).item()


@pytest.fixture(scope="module", params=[{}, {"mlps": True, "positions": "rotary"}], ids=str)
def case(request):
    return PatchingCase(**request.param)


def test_every_patch_of_transformer_lens_is_tested():
    names = {n.removeprefix("get_act_patch_") for n in dir(patching) if n.startswith("get_act_")}
    assert names == {*ONE_AXIS, *EVERY}


@pytest.mark.parametrize("name", ONE_AXIS)
def test_a_patch_is_the_clean_activation_in_the_corrupted_run(case, name):
    activation, axes = ONE_AXIS[name]
    sizes = {"pos": case.clean.n_tokens, "head": case.model.cfg.n_heads}
    patched = case.patch(name)
    assert patched.shape == (2, *(sizes[axis] for axis in axes))
    for index in [(0,) * len(axes), (2,) * len(axes), tuple(sizes[axis] - 1 for axis in axes)]:
        place = (slice(None), *index)
        if axes == ("head",) and activation != "pattern":
            place = (slice(None), slice(None), *index)
        for layer in range(2):
            # The patched metric is kept in float32.
            expected = case.by_hand(activation, layer, place)
            assert patched[(layer, *index)].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_the_stacks_of_patches_are_their_parts(case, name):
    stacked = case.patch(name)
    assert len(stacked) == len(EVERY[name])
    for part, of in zip(stacked, EVERY[name], strict=True):
        alone = case.patch(of)
        if of == "attn_head_pattern_by_pos":
            alone = alone.transpose(1, 2)  # TransformerLens stacks it position first
        torch.testing.assert_close(part, alone)


def test_patches_that_must_restore_the_clean_answer_do_and_others_do_not(case):
    clean = case.metric(case.model(case.clean)).item()
    corrupted = case.metric(case.model(case.corrupted)).item()
    assert abs(clean - corrupted) > 0.05
    last_is_query = case.patch("attn_out")[-1]  # other tokens of the last block reach no query
    assert last_is_query[:-1].tolist() == pytest.approx([corrupted] * 4, abs=1e-5)
    resid = case.patch("resid_pre")
    exemplars = case.clean.exemplar_positions
    # What the batches share before block 0 is all but the labels.
    assert resid[0, exemplars].tolist() == pytest.approx([corrupted] * 3, abs=1e-5)
    everywhere = case.by_hand("resid_pre", 1, slice(None))
    assert everywhere == pytest.approx(clean, abs=1e-9)


def test_patching_what_no_mlp_writes_changes_nothing():
    case = PatchingCase()
    corrupted = case.metric(case.model(case.corrupted)).item()
    assert case.patch("mlp_out").flatten().tolist() == pytest.approx([corrupted] * 10, abs=1e-5)
    push = torch.randn(12, dtype=torch.float64)
    hooks = [("blocks.1.hook_mlp_out", lambda out, hook: out + push)]
    with_push = case.model.run_with_hooks(case.clean, fwd_hooks=hooks, stop_at_layer=2)
    torch.testing.assert_close(with_push, case.model(case.clean, stop_at_layer=2) + push)
