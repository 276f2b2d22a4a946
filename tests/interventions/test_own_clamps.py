"""A user's own clamp: on a finished model, in training, saved, and loaded where it is known."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_models import small_model, small_sequences
from unchecked import without_shape_checks

from coopetition_interp.interventions import (
    AblateEmbedding,
    During,
    clamp_from_dict,
    clamp_to_dict,
    known_clamps,
    parse_clamp,
    run_clamped,
)
from coopetition_interp.training import load_run, train

from .own_clamps import (
    AddsADirection,
    ComesBackChanged,
    ForgetsToReturn,
    HalveHeads,
    HalveValues,
    KeepEmbedding,
)
from .rounding import assert_equal_but_for_rounding

LOAD_UNKNOWN_AND_KNOWN = """
import sys
from coopetition_interp.training import load_run

try:
    load_run(sys.argv[1])
except Exception as error:
    print(error)
import {module}

print(load_run(sys.argv[1]).config.clamps)
"""


def test_on_a_finished_model():
    model, sequences = small_model(), small_sequences()
    held = run_clamped(model, sequences, [HalveValues((0,))])
    with torch.no_grad():
        model.blocks[0].attn.W_V *= 0.5
        model.blocks[0].attn.b_V *= 0.5
    assert_equal_but_for_rounding(held, run_clamped(model, sequences, []))
    kept = run_clamped(model, sequences, [KeepEmbedding(), AblateEmbedding()])
    assert_equal_but_for_rounding(kept, run_clamped(model, sequences, [AblateEmbedding()]))
    kept = run_clamped(model, sequences, [AblateEmbedding(), KeepEmbedding()])
    assert_equal_but_for_rounding(kept, run_clamped(model, sequences, []))


def test_a_clamp_on_heads_has_them_from_its_base():
    model, sequences = small_model(), small_sequences()
    clamp = HalveHeads([(0, 3), (0, 1)], by=0.25)
    assert clamp.heads == ((0, 1), (0, 3))
    assert str(clamp) == "HalveHeads(heads=[(0, 1), (0, 3)], by=0.25)"
    assert parse_clamp(str(clamp)) == clamp_from_dict(clamp_to_dict(clamp)) == clamp
    held = run_clamped(model, sequences, [clamp])
    with torch.no_grad():
        model.blocks[0].attn.W_O[[1, 3]] *= 0.25
    assert_equal_but_for_rounding(held, run_clamped(model, sequences, []))
    with pytest.raises(ValueError, match="HalveHeads: a head is a pair"):
        HalveHeads([0])
    assert "HeadsClamp" not in known_clamps()


def test_text_and_json():
    clamp = HalveValues((0, 1), by=0.25)
    assert str(clamp) == "HalveValues(layers=(0, 1), by=0.25)"
    assert parse_clamp(str(clamp)) == parse_clamp("HalveValues([0, 1], 0.25)") == clamp
    saved = clamp_to_dict(clamp)
    module = HalveValues.__module__
    assert saved == {"kind": "HalveValues", "module": module, "layers": [0, 1], "by": 0.25}
    assert clamp_from_dict(json.loads(json.dumps(saved))) == clamp
    assert clamp_from_dict({**saved, "module": "__main__"}) == clamp  # saved by a script
    with pytest.raises(
        ValueError, match=r"saved as elsewhere.HalveValues, but the HalveValues kno"
    ):
        clamp_from_dict({**saved, "module": "elsewhere"})


def fresh_process(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    tests = Path(__file__).parents[1]
    paths = [str(tests.parent), str(tests)]
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}", *arguments],
        capture_output=True,
        text=True,
    )


def test_trained_saved_and_loaded(short_config, short_run, tmp_path):
    clamps = (HalveValues((0,)), During(KeepEmbedding(), start=640))
    config = short_config.replace(n_sequences=1280, clamps=clamps)
    run = train(config, tmp_path / "run", progress=False)
    assert load_run(run.path).config.clamps == clamps
    assert not torch.equal(run.weights(640)["unembed.W_U"], short_run.weights(640)["unembed.W_U"])

    module = HalveValues.__module__
    elsewhere = fresh_process(LOAD_UNKNOWN_AND_KNOWN.format(module=module), str(run.path))
    unknown, known = elsewhere.stdout.splitlines()
    assert f"the clamp {module}.HalveValues is not known here: `import {module}` first" in unknown
    assert len(unknown) < 600
    assert known.startswith("(HalveValues(layers=(0,), by=0.5), During("), elsewhere.stderr


@pytest.mark.parametrize(
    ("clamp", "message"),
    [
        (AddsADirection(torch.ones(64)), r"AddsADirection.*its field direction holds a Tensor"),
        (ComesBackChanged((1,)), r"ComesBackChanged.*its layers .1, 0. would come back .*1, 0, 0"),
        (HalveValues([0]), "its field layers holds a list; what is saved is a number"),
        (ForgetsToReturn(), r"its edit of blocks.0.attn.hook_v must return the activation"),
        (HalveValues((7,)), r"sets 'blocks.7.attn.hook_v', but the model has no such hook point"),
        (During(HalveValues((0,)), start=1920), r"would never be held: the moments here are at 0"),
        (During(HalveValues((0,)), 1, 20), r"would never be held"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_cannot_be_trained_with_is_refused_before(clamp, message, short_config, tmp_path):
    config = short_config.replace(clamps=(clamp,))
    with without_shape_checks(), pytest.raises(ValueError, match=message) as error:
        train(config, tmp_path / "run", progress=False)
    assert len(str(error.value)) < 600
    assert not (tmp_path / "run" / "config.json").exists()
    assert not (tmp_path / "run" / "resolved.json").exists()
