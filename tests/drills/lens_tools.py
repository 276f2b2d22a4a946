"""Seeded drill of TransformerLens's tools: random models and batches, each call held to a truth.

By hand: `PYTHONPATH=.:tests python tests/drills/lens_tools.py --cases 60 --seed 0`.
"""

from __future__ import annotations

import argparse
import copy
import logging
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from small_models import N_LABELS, small_model, small_sequences
from torch import Tensor
from transformer_lens import patching

from coopetition_interp.training import OptimizerConfig, TrainingStep

PATCHES = sorted(name for name in dir(patching) if name.startswith("get_act_patch_"))
TEXT_METHODS = ("generate", "to_tokens", "to_string", "to_str_tokens", "get_token_position")
CLEAR_ERRORS = (NotImplementedError, RuntimeError, TypeError, ValueError)
Check = tuple[str, Callable[[], bool]]


def near(found: Tensor, expected: Tensor, tolerance: float = 1e-4) -> bool:
    """Whether two tensors agree, relative to the size of the expected one."""
    scale = 1 + expected.abs().max()
    return found.shape == expected.shape and bool(
        (found - expected).abs().max() < tolerance * scale
    )


def refused(action: Callable[[], object], mentions: str) -> bool:
    """Whether an action ends in one short error that names what to use."""
    try:
        action()
    except CLEAR_ERRORS as error:
        message = str(error)
        return mentions in message and len(message) < 600 and "\n" not in message
    return False


def checks(rng: random.Random) -> Iterator[Check]:
    """What one random model and batch are held to."""
    shape = {
        "n_layers": rng.choice((1, 2, 3)),
        "n_heads": rng.choice((1, 2, 4)),
        "mlps": rng.random() < 0.4,
        "layer_norm": rng.random() < 0.8,
        "positions": rng.choice(("learned", "sinusoidal", "rotary")),
        "init_seed": rng.randrange(1000),
    }
    n_pairs, batch = rng.choice((1, 2, 3)), rng.choice((1, 2, 3, 5, 7))
    dtype = rng.choice((torch.float32, torch.float64))
    model = small_model(n_pairs=n_pairs, dtype=dtype, **shape)
    model.requires_grad_(rng.random() < 0.5)
    clean = small_sequences(batch, n_pairs, rng.randrange(1000), dtype)
    shown = torch.cat([(clean.context_labels + 1) % N_LABELS, clean.right_labels[:, None]], 1)
    corrupted = replace(clean, labels=shown)
    right = clean.right_labels
    logits, cache = model.run_with_cache(clean)

    def metric(all_logits: Tensor) -> Tensor:
        return all_logits[:, -1].gather(1, right[:, None]).mean()

    def patch_within_bounds(name: str) -> bool:
        answer = getattr(patching, name)(model, corrupted, cache, metric)
        # Patching a run with its own activations must change nothing.
        same = getattr(patching, name)(model, clean, cache, metric)
        unchanged = near(same, metric(logits).detach().float().expand(same.shape))
        return unchanged and bool(answer.isfinite().all())

    for name in rng.sample(PATCHES, 3):
        yield "patching", lambda name=name: patch_within_bounds(name)

    after = cache["resid_post", shape["n_layers"] - 1]
    for how in ({}, {"expand_neurons": False}, {"pos_slice": -1}):
        expected = after[:, -1] if how.get("pos_slice") else after
        yield (
            "decomposition",
            lambda how=how, expected=expected: near(
                cache.get_full_resid_decomposition(**how).sum(0), expected
            ),
        )

    def attribution() -> bool:
        folded = copy.deepcopy(model)
        folded.process_weights_(center_unembed=False)
        return_type = rng.choice(("logits", "query_logits"))
        _, its_cache = folded.run_with_cache(clean, return_type=return_type)
        parts = its_cache.get_full_resid_decomposition(pos_slice=-1)
        total = its_cache.logit_attrs(parts, right, pos_slice=-1).sum(0) + folded.b_U[right]
        return near(total, logits[:, -1].gather(1, right[:, None])[:, 0])

    def processed() -> bool:
        own = copy.deepcopy(model)
        own.process_weights_(
            refactor_factored_attn_matrices=shape["positions"] != "rotary" and rng.random() < 0.5
        )
        written = [own.W_exemplar, own.W_E] if shape["layer_norm"] else []
        centred = all(weight.mean(-1).abs().max() < 1e-5 for weight in written)
        return centred and near(own(clean), logits - logits.mean(-1, keepdim=True))

    yield "logit_attrs", attribution
    yield "process_weights_", processed

    def one_position() -> bool:
        position = rng.randrange(clean.n_tokens)
        _, at = model.run_with_cache(clean, pos_slice=position)
        return near(at["resid_pre", 0][:, 0], cache["resid_pre", 0][:, position])

    yield "pos_slice", one_position

    def in_place() -> bool:
        name = rng.choice([name for name in cache.cache_dict if cache[name].ndim > 2])
        token = rng.randrange(cache[name].shape[1])
        weights = [weight.clone() for weight in model.state_dict().values()]
        exemplars = clean.exemplars.clone()

        def edit(activation: Tensor, hook: object) -> Tensor:
            activation[:, token] = 0.25
            return activation

        def edit_copy(activation: Tensor, hook: object) -> Tensor:
            return edit(activation.clone(), hook)

        with torch.no_grad():
            found, expected = (
                model.run_with_hooks(clean, fwd_hooks=[(name, how)]) for how in (edit, edit_copy)
            )
        untouched = all(map(torch.equal, weights, model.state_dict().values()))
        return untouched and torch.equal(clean.exemplars, exemplars) and near(found, expected)

    for _ in range(3):
        yield "in-place hook", in_place
    method = rng.choice(TEXT_METHODS)
    yield f"text: {method}", lambda: refused(lambda: getattr(model, method)(clean), method)
    wrong_index = rng.choice((0, -1, (slice(None), 1), None, ..., torch.tensor(0)))
    yield "indexing", lambda: refused(lambda: clean[wrong_index], "")
    layer = rng.choice((shape["n_layers"] + 1, -shape["n_layers"] - 1))
    for where in ("start_at_layer", "stop_at_layer"):
        given = after if where == "start_at_layer" else clean
        yield (
            "no such layer",
            lambda where=where, given=given: refused(
                lambda: model(given, return_type="query_logits", **{where: layer}), where
            ),
        )

    def replaced() -> bool:
        own = small_model(n_pairs=n_pairs, dtype=torch.float32, **shape)
        batch_32 = small_sequences(batch, n_pairs, dtype=torch.float32)
        step = TrainingStep(own, OptimizerConfig(), 3, batch_32, compile=False)
        new = {name: weight.clone() for name, weight in own.state_dict().items()}
        how = rng.choice(("double", "assign", "deep"))
        if how == "double":
            own.double()
        elif how == "assign":
            own.load_state_dict(new, assign=True)
        else:
            own.embed = copy.deepcopy(own.embed)
        return refused(lambda: step(batch_32), "TrainingStep")

    if rng.random() < 0.25:  # recording a step takes longer than all the rest
        yield "replaced parameters", replaced


def drill(n_cases: int, seed: int) -> tuple[Counter[str], Counter[str]]:
    """How often each kind of call held, and how the others broke."""
    held: Counter[str] = Counter()
    broke: Counter[str] = Counter()
    for case in range(n_cases):
        rng = random.Random(f"{seed} {case}")
        for kind, check in checks(rng):
            try:
                outcome = "not so" if not check() else None
            except Exception as error:  # whatever a tool raises is what is counted
                outcome = f"{type(error).__name__}: {' '.join(str(error).split()):.60}"
            if outcome is None:
                held[kind] += 1
            else:
                broke[f"{kind}: {outcome}"] += 1
    return held, broke


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    held, broke = drill(arguments.cases, arguments.seed)
    for kind, count in sorted(held.items()):
        print(f"held  {count:5d}  {kind}")
    for kind, count in broke.most_common():
        print(f"broke {count:5d}  {kind}")
    print(f"{held.total()} held, {broke.total()} broke")
