"""Clamps with a time: held from `start` until `stop`, however the run is broken up."""

import numpy as np
import pytest
import torch
from same_weights import same_weights
from small_models import small_model
from unchecked import without_shape_checks

from coopetition_interp.analysis.checkpoints import (
    evaluate_checkpoints,
    strengths_over_checkpoints,
)
from coopetition_interp.command_line import main
from coopetition_interp.interventions import (
    AblateHeads,
    ByPhase,
    During,
    HeadTemperature,
    InductionHeads,
    PreviousTokenHeads,
    active_at,
    bind,
    bind_phases,
    phases,
)
from coopetition_interp.tasks.exemplar_label.evaluation import evaluate
from coopetition_interp.training import load_run, resume, train

ABLATE = AblateHeads([(0, 0), (1, 3)])
PREVIOUS = PreviousTokenHeads([(0, 1)])
HOT = HeadTemperature([(1, 2)], 3.0)
CLAMPS = (PREVIOUS, During(ABLATE, start=640), During(HOT, start=320, stop=960))


def test_what_holds_when():
    assert active_at(CLAMPS, 0) == (PREVIOUS,)
    assert active_at(CLAMPS, 319) == (PREVIOUS,)
    assert active_at(CLAMPS, 320) == (PREVIOUS, HOT)
    assert active_at(CLAMPS, 640) == active_at(CLAMPS, 959) == (PREVIOUS, ABLATE, HOT)
    assert active_at(CLAMPS, 960) == active_at(CLAMPS, 10**9) == (PREVIOUS, ABLATE)
    assert [phase[:2] for phase in phases(CLAMPS)] == [
        (0, 320),
        (320, 640),
        (640, 960),
        (960, None),
    ]
    for start, _, clamps in phases(CLAMPS):
        assert clamps == active_at(CLAMPS, start)
    assert phases([ABLATE]) == [(0, None, (ABLATE,))]
    assert phases([]) == [(0, None, ())]


def test_one_clamp_is_no_list():
    for ask in (lambda: active_at(ABLATE, 0), lambda: phases(ABLATE)):
        with (
            without_shape_checks(),
            pytest.raises(TypeError, match=r"clamps come in a list: \[AblateHeads"),
        ):
            ask()


def test_one_thing_for_each_phase_made_when_needed():
    made = []
    by_phase = ByPhase(bind_phases(CLAMPS, small_model()), lambda held: made.append(held) or held)
    assert made == []
    assert by_phase.at(700) is by_phase.at(640) is made[0]
    assert by_phase.at(0) is made[1]
    assert [held.clamps for held in made] == [(PREVIOUS, ABLATE, HOT), (PREVIOUS,)]


def test_clamps_never_held_together_may_contradict():
    model = small_model()
    first, then = PreviousTokenHeads([(1, 0)]), InductionHeads([(1, 0)])
    bind_phases([During(first, stop=64), During(then, start=64)], model)
    with pytest.raises(ValueError, match="contradict each other"):
        bind_phases([During(first, stop=96), During(then, start=64)], model)


def test_mistakes_of_any_phase_show_when_bound():
    model = small_model()
    late = During(AblateHeads([(4, 0)]), start=10**6)
    with pytest.raises(ValueError, match="the model has no block 4"):
        bind_phases([late], model)
    with pytest.raises(ValueError, match=r"During.* would never be held: .* 0, 32, ... 96 "):
        bind_phases([During(ABLATE, start=97)], model, moments=range(0, 128, 32))
    bind_phases([During(ABLATE, start=96)], model, moments=range(0, 128, 32))
    with pytest.raises(ValueError, match=r"has a time, and here is none: .*active_at"):
        bind([During(ABLATE)], model)


@pytest.fixture(scope="module")
def config(short_config):
    return short_config.with_overrides(["checkpoint_at.every=320", "evaluate_at.every=320"])


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("during") / "run"
    return train(config.replace(clamps=CLAMPS), out, progress=False)


def test_until_it_begins_the_run_is_the_one_without(config, run, tmp_path):
    without = train(config.replace(clamps=(PREVIOUS,)), tmp_path / "run", progress=False)
    assert same_weights(run.weights(320), without.weights(320))
    assert not same_weights(run.weights(640), without.weights(640))


def test_from_its_start_it_is_held(run):
    """Values of ablated heads get no gradient, though Adam's moments carry them a little on."""
    name = "blocks.1.attn.W_V"
    before, held = (run.weights(seen)[name] for seen in (640, 1920))
    moved = (held - before).abs().amax((1, 2))
    assert moved[3] < moved[:3].min() / 2


def test_evaluations_hold_what_is_active(run):
    recorded = run.metrics.set_index(["sequences_seen", "evaluator"]).loss
    for seen in (0, 320, 640, 960, 1920):
        held = active_at(CLAMPS, seen)
        again = evaluate(run.model(seen), run.evaluation_sequences, held).set_index("evaluator")
        np.testing.assert_allclose(again.loss, recorded[seen][again.index], rtol=1e-5)


def test_saved_and_read_back(run):
    assert load_run(run.path).config.clamps == CLAMPS


@pytest.mark.parametrize("stop", [672, 1312])
def test_resumed_within_a_phase_it_ends_bitwise_the_same(config, run, tmp_path, stop):
    train(config.replace(clamps=CLAMPS, n_sequences=stop), tmp_path / "run", progress=False)
    longer = resume(tmp_path / "run", n_sequences=1920, progress=False)
    assert same_weights(longer.weights(), run.weights())


def test_compiled_phases_are_the_same_training(config, tmp_path):
    clamps = (PREVIOUS, During(AblateHeads([(0, 0)]), start=96))
    one_layer = config.replace(model={"n_layers": 1})  # half the time to compile
    plain, compiled = (
        train(
            one_layer.replace(clamps=clamps, compile=compile, n_sequences=192),
            tmp_path / compile,
            progress=False,
        ).weights()
        for compile in ("no", "yes")
    )
    for name, weight in plain.items():
        # Six steps in float32, by fused kernels or not; Adam moves a weight by up to 3e-3 a step.
        torch.testing.assert_close(compiled[name], weight, rtol=1e-3, atol=1e-4)


def test_progress_measures_hold_what_is_active(run):
    sequences = run.evaluation_sequences["train"][:100]
    table = evaluate_checkpoints(run, run.config.clamps, sequences={"train": sequences})
    table = table.set_index("sequences_seen")
    strengths = strengths_over_checkpoints(run, sequences, [During(PREVIOUS, stop=640)])
    for seen in run.checkpoints:
        held = active_at(CLAMPS, seen)
        expected = evaluate(run.model(seen), {"train": sequences}, held)
        np.testing.assert_allclose(table.loss[seen], expected.loss.item(), rtol=1e-5)
    held_head = strengths[(strengths.layer == 0) & (strengths["head"] == 1)]
    perfect = held_head.set_index("sequences_seen").previous_token_strength > 0.999
    assert perfect.to_dict() == {seen: seen < 640 for seen in run.checkpoints}


def test_on_the_command_line(run, tmp_path, capsys):
    out = tmp_path / "run"
    clamp = "During(AblateHeads(heads=[(1, 0)]), start=64)"
    words = ["train", "tiny", "n_sequences=128", "--out", str(out), "--quiet", "--clamp", clamp]
    assert main(words) == 0
    assert load_run(out).config.clamps == (During(AblateHeads([(1, 0)]), start=64),)
    assert main(["evaluate", str(out), "--at", "all"]) == 0
    assert main(["evaluate", str(run.path), "--at", "320"]) == 0
    never = "During(AblateHeads(heads=[(1, 0)]), start=2_000_000)"
    words = ["train", "tiny", "n_sequences=128", "--out", str(tmp_path / "x"), "--clamp", never]
    assert main(words) != 0
    assert "would never be held" in capsys.readouterr().err
    assert not (tmp_path / "x" / "config.json").exists()
