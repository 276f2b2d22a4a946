"""The token task: what is drawn, its loss, runs under clamps, and what they show."""

import json
import signal

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from same_weights import same_weights
from unchecked import without_shape_checks

from coopetition_interp.analysis.checkpoints import evaluate_checkpoints
from coopetition_interp.files.tensor_file import write_tensor_file
from coopetition_interp.interventions import (
    AblateHeads,
    During,
    GraftIn,
    HeadTemperature,
    InductionHeads,
    Preserve,
    PreviousTokenHeads,
    TokenInductionHeads,
    run_clamped,
    run_clamped_with_cache,
)
from coopetition_interp.tasks.tokens import (
    RepeatedTokens,
    TokenConfig,
    TokenFile,
    TokenModelConfig,
    save_tokens,
)
from coopetition_interp.training import (
    ConfigError,
    OptimizerConfig,
    Schedule,
    TrainingStep,
    load_run,
    resume,
    train,
)

SMALL = TokenConfig(
    tokens=RepeatedTokens(d_vocab=16, n_block=8, n_excerpts=4),
    # Positions that the residual stream does not carry: else a pointer to the last equal token
    # takes the place of a previous-token head.
    model=TokenModelConfig(d_model=32, d_head=8, positions="shortformer"),
    optimizer=OptimizerConfig(learning_rate=3e-3),
    n_sequences=640,
    n_evaluated=200,
    n_threads=1,
    evaluate_at=Schedule(every=320),
    checkpoint_at=Schedule(every=320),
)


# Data ---------------------------------------------------------------------------------------


@given(st.integers(0, 2**31), st.integers(2, 6), st.integers(0, 5), st.integers(1, 4))
def test_excerpts_are_of_the_block(seed, n_excerpt, more, n_excerpts):
    n_block = n_excerpt + more
    source = RepeatedTokens(d_vocab=14, n_block=n_block, n_excerpt=n_excerpt, n_excerpts=n_excerpts)
    for row in source.draw(20, torch.Generator().manual_seed(seed)).tokens.tolist():
        block, after = row[:n_block], row[n_block:]
        assert len(set(block)) == n_block
        assert len(row) == source.n_tokens
        for start in range(0, len(after), n_excerpt):
            place = block.index(after[start])
            assert after[start : start + n_excerpt] == block[place : place + n_excerpt]


def test_batches_hang_on_seed_and_step_alone():
    task, again = SMALL.build(), SMALL.build()
    for ours, others in zip(task.batch(7), again.batch(7), strict=True):
        assert torch.equal(ours, others)
    assert not torch.equal(task.batch(7).tokens, task.batch(8).tokens)
    other_seed = SMALL.replace(data_seed=3).build()
    assert not torch.equal(task.batch(7).tokens, other_seed.batch(7).tokens)


def test_what_is_scored_as_repeated_can_be_read_off_what_came_before():
    new, repeated = (SMALL.build().evaluation_sequences[name] for name in ("new", "repeated"))
    assert torch.equal(new.tokens, repeated.tokens)
    assert not (new.scored & repeated.scored).any()
    assert (new.scored | repeated.scored)[:, :-1].all()
    for tokens, scored in zip(repeated.tokens.tolist(), repeated.scored.tolist(), strict=True):
        for place, counts in enumerate(scored[:-1]):
            assert counts == (place in (8, 10, 12, 14))  # the first of an excerpt of two
            if counts:
                earlier = tokens.index(tokens[place])
                assert tokens[place + 1] == tokens[earlier + 1]


def test_masked_tokens_are_hidden_and_asked_for():
    config = SMALL.replace(objective="masked", masked_share=0.3)
    task = config.build()
    batch = task.batch(0)
    assert task.model.cfg.d_vocab == 17
    assert task.model.cfg.attention_dir == "bidirectional"
    assert (batch.tokens == 16).equal(batch.scored)
    assert (batch.targets[~batch.scored] == batch.tokens[~batch.scored]).all()
    assert (batch.targets < 16).all()


def test_a_batch_without_a_masked_token_teaches_nothing():
    config = SMALL.replace(objective="masked", masked_share=0.3)
    task = config.build()
    batch = task.batch(0)
    loss = task.loss(task.model, batch._replace(scored=torch.zeros_like(batch.scored)))
    loss.backward()
    assert loss == 0
    assert all((w.grad == 0).all() for w in task.model.parameters() if w.grad is not None)


def test_sequences_without_a_scored_position_are_left_out_and_nan_is_not():
    config = SMALL.replace(objective="masked", masked_share=0.3)
    task = config.build()
    evaluate = config.evaluator(task.model)
    batch = task.evaluation_sequences["new"]
    few = batch.scored.clone()
    few[10:] = False
    (row,) = evaluate({"few": batch._replace(scored=few)}).to_dict("records")
    (alone,) = evaluate({"few": type(batch)(*(part[:10] for part in batch))}).to_dict("records")
    assert row["loss"] == pytest.approx(alone["loss"], abs=1e-5)  # another batch's rounding
    with torch.no_grad():
        task.model.W_E[batch.tokens[0, 0]] = torch.nan  # some sequences do not have that token
    (row,) = evaluate({"new": batch}).to_dict("records")
    assert np.isnan(row["loss"])


def test_what_is_evaluated_is_not_what_is_trained_on_first():
    task = SMALL.replace(data_seed=3, evaluation_seed=3, batch_size=32, n_evaluated=32).build()
    trained = {tuple(row) for row in task.batch(0).tokens.tolist()}
    evaluated = {tuple(row) for row in task.evaluation_sequences["new"].tokens.tolist()}
    assert not trained & evaluated


def test_own_tokens_are_trained_on_and_held_out(tmp_path):
    tokens = torch.arange(20)[:, None].expand(20, 6)  # a sequence tells which it is
    source = save_tokens(tmp_path / "own.safetensors", tokens)
    task = SMALL.replace(tokens=source).build()
    seen = {int(token) for step in range(20) for token in task.batch(step).tokens.unique()}
    assert seen == set(range(18))
    assert set(task.evaluation_sequences["held_out"].tokens.unique().tolist()) == {18, 19}
    assert set(task.evaluation_sequences) == {"train", "held_out"}


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        (torch.zeros(3, 4), "no tensor 'tokens' of integers"),
        (torch.zeros(4, dtype=torch.int64), "no tensor 'tokens' of integers"),
        (torch.full((3, 4), -1), "integers from 0"),
        (torch.zeros(3, 4, dtype=torch.bool), "integers from 0"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, tokens, told):
    write_tensor_file(tmp_path / "own.safetensors", {"tokens": tokens}, {})
    with pytest.raises(ConfigError, match=told):
        TokenFile(path=str(tmp_path / "own.safetensors")).load()


@pytest.mark.parametrize(
    "kind",
    [
        lambda tokens: tokens.tolist(),
        lambda tokens: tokens.numpy(),
        lambda tokens: tokens.numpy().astype(np.uint16),
        lambda tokens: tokens.numpy().astype(">u8"),
        lambda tokens: tokens.to(torch.uint16),
        lambda tokens: tokens.to(torch.uint64),
        lambda tokens: list(tokens.int()),
    ],
)
def test_tokens_are_saved_from_whatever_holds_them(kind, tmp_path):
    tokens = torch.randint(0, 40_000, (20, 6))
    expected = save_tokens(tmp_path / "tensor.safetensors", tokens).load()
    with without_shape_checks():
        loaded = save_tokens(tmp_path / "other.safetensors", kind(tokens)).load()
    assert torch.equal(loaded.tokens, tokens)
    assert loaded.digest() == expected.digest()


def test_tokens_in_place_of_where_they_come_from_are_told_the_way(tmp_path):
    tokens = torch.zeros(4, 5, dtype=torch.int64)
    for wrong in (tokens, tokens.numpy(), tokens.tolist(), tmp_path, "tokens.safetensors"):
        with pytest.raises(ConfigError, match=r"^tokens: give .* save_tokens\(path, tokens\)"):
            TokenConfig(tokens=wrong)
    assert TokenFile(tmp_path / "a") == TokenFile(str(tmp_path / "a"))


def test_a_relative_path_seen_from_elsewhere_is_told_with_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = save_tokens("own.safetensors", torch.randint(0, 9, (40, 6)))
    run = train(SMALL.replace(tokens=source), "run", progress=False)
    (tmp_path / "elsewhere").mkdir()
    path = run.path.resolve()
    monkeypatch.chdir(tmp_path / "elsewhere")
    told = r"no file of tokens own.safetensors in .*elsewhere, .*tokens\.path"
    for call in (
        lambda: evaluate_checkpoints(load_run(path)),
        lambda: resume(path, n_sequences=1e4),
    ):
        with pytest.raises(FileNotFoundError, match=told):
            call()


def test_a_run_is_not_resumed_on_other_tokens(tmp_path):
    path = tmp_path / "own.safetensors"
    source = save_tokens(path, torch.randint(0, 9, (40, 6)))
    train(SMALL.replace(tokens=source), tmp_path / "run", progress=False)
    save_tokens(path, torch.randint(0, 9, (40, 6)))
    with pytest.raises(RuntimeError, match=r"data of .* are not those it was begun with"):
        resume(tmp_path / "run", n_sequences=1280, progress=False)
    with pytest.raises(RuntimeError, match=r"tokens \(.*\) have changed since .* was begun with"):
        evaluate_checkpoints(load_run(tmp_path / "run"))


def test_sequences_of_one_token_have_nothing_to_predict(tmp_path):
    source = save_tokens(tmp_path / "own.safetensors", torch.randint(0, 9, (40, 1)))
    with pytest.raises(ConfigError, match=r"sequences of one token, which has no next one"):
        SMALL.replace(tokens=source).build()


# Loss and step ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": "masked"},
        {"train_on": "repeated"},
        {"model": {"d_mlp": 48, "positions": "rotary", "n_layers": 1}},
        {"model": {"layer_norm": False, "positions": "shortformer", "d_mlp": 20, "act_fn": "relu"}},
    ],
)
def test_the_step_is_torchs_own(changes):
    config = SMALL.replace(**changes)
    task, own = config.build(), config.build()
    step = TrainingStep(
        task.model, config.optimizer, config.n_steps, task.batch(0), compile=False, loss=task.loss
    )
    adam = torch.optim.Adam(own.model.parameters(), lr=config.optimizer.learning_rate)
    for index in range(5):
        batch = task.batch(index)
        logits = own.model(batch.tokens)
        loss = F.cross_entropy(logits[batch.scored], batch.targets[batch.scored])
        adam.zero_grad()
        loss.backward()
        adam.step()
        # Another order of additions, over five steps of Adam, which divides by small numbers.
        assert step(batch).item() == pytest.approx(loss.item(), rel=2e-4)


def test_the_models_own_loss_is_the_default():
    task = SMALL.build()
    tokens = task.batch(0).tokens
    expected = task.model(tokens, return_type="loss").item()
    step = TrainingStep(task.model, SMALL.optimizer, 10, tokens, compile=False)
    assert step(tokens).item() == pytest.approx(expected, rel=1e-5)
    assert step(tokens).item() < expected


# Clamps -------------------------------------------------------------------------------------


def test_induction_heads_attend_to_what_followed_the_same_token():
    model = SMALL.build().model
    tokens = torch.tensor([[3, 5, 7, 3, 5, 3, 1]])
    clamp = TokenInductionHeads([(1, 2)], strength=0.75)
    _, own = model.run_with_cache(tokens)
    _, held = run_clamped_with_cache(model, tokens, [clamp])
    own, held = own["pattern", 1][0], held["pattern", 1][0]
    assert torch.equal(held[[0, 1, 3]], own[[0, 1, 3]])
    assert torch.equal(held[2, [0, 1, 2, 6]], own[2, [0, 1, 2, 6]])  # tokens that are new
    for place, followers in ((3, [1]), (4, [2]), (5, [1, 4])):
        expected = 0.25 * own[2, place]
        expected[followers] += 0.75 / len(followers)
        torch.testing.assert_close(held[2, place], expected)
    with pytest.raises(TypeError, match=r"has to know exemplars from labels"):
        run_clamped(model, tokens, [InductionHeads([(1, 0)])])


def test_a_run_under_clamps_is_saved_resumed_and_measured(tmp_path):
    donor = train(SMALL.replace(n_sequences=320), tmp_path / "donor", progress=False)
    clamps = (
        PreviousTokenHeads([(0, 0)], strength=0.9),
        AblateHeads([(0, 1)]),
        HeadTemperature([(0, 2)], temperature=0.5),
        During(TokenInductionHeads([(1, 0)]), start=160),
        Preserve(patterns=[1]),
    )
    config = SMALL.replace(clamps=clamps)
    whole = train(config, tmp_path / "whole", progress=False)
    train(config.replace(n_sequences=320), tmp_path / "parts", progress=False)
    parts = resume(tmp_path / "parts", n_sequences=640, progress=False)
    for name, weight in whole.weights().items():
        assert torch.equal(weight, parts.weights()[name]), name
    pd.testing.assert_frame_equal(whole.metrics, parts.metrics, check_exact=True)

    again = load_run(tmp_path / "whole")
    assert again.config == config
    measures = evaluate_checkpoints(again, again.config.clamps)
    columns = ["evaluator", "sequences_seen", "loss", "accuracy", "p_right", "n_sequences"]
    of_run = whole.metrics[columns].sort_values(columns[:2], ignore_index=True)
    ours = measures[columns].sort_values(columns[:2], ignore_index=True)
    assert ours.evaluator.equals(of_run.evaluator)
    numbers = columns[1:]
    # The step's clamps are recorded, the evaluation's are not; and metrics went through a file.
    np.testing.assert_allclose(
        ours[numbers].astype(float), of_run[numbers].astype(float), rtol=1e-4, atol=1e-6
    )

    grafted = SMALL.replace(clamps=(GraftIn(str(donor.checkpoint_path("last")), layer=0),))
    held = train(grafted, tmp_path / "grafted", progress=False)
    before, after = held.weights("first"), held.weights("last")
    assert torch.equal(before["blocks.0.attn.W_Q"], after["blocks.0.attn.W_Q"])
    assert not torch.equal(before["blocks.1.attn.W_Q"], after["blocks.1.attn.W_Q"])


def test_interrupted_and_resumed_bitwise(tmp_path):
    config = SMALL.replace(clamps=(PreviousTokenHeads([(0, 0)]),))
    whole = train(config, tmp_path / "whole", progress=False)

    def interrupt(metrics):
        if metrics.sequences_seen.max() == 320:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", progress=False, on_evaluation=interrupt)
    run = resume(tmp_path / "run", progress=False)
    assert all(torch.equal(w, run.weights()[name]) for name, w in whole.weights().items())


def test_the_compiled_step_is_the_same_and_repeats_bitwise():
    losses = {}
    for attempt in ("recorded", "compiled", "again"):
        task = SMALL.build()
        step = TrainingStep(
            task.model,
            SMALL.optimizer,
            100,
            task.batch(0),
            clamps=[PreviousTokenHeads([(0, 0)]), TokenInductionHeads([(1, 1)])],
            compile=attempt != "recorded",
            loss=task.loss,
        )
        losses[attempt] = [step(task.batch(index)).item() for index in range(20)]
        assert step.compiled == (attempt != "recorded")
    assert losses["again"] == losses["compiled"]
    # Fused kernels round differently; twenty steps of Adam enlarge that.
    assert losses["compiled"] == pytest.approx(losses["recorded"], rel=1e-3)


# A task of the user's own -------------------------------------------------------------------


def test_configs_of_tasks(tmp_path):
    assert TokenConfig.from_dict(json.loads(json.dumps(SMALL.to_dict()))) == SMALL
    with pytest.raises(ConfigError, match=r"unknown field objectiv"):
        SMALL.replace(objectiv="masked")
    with pytest.raises(ConfigError, match=r"n_excerpt <= n_block <= d_vocab"):
        SMALL.replace(tokens={"n_block": 17})
    own = save_tokens(tmp_path / "t.safetensors", torch.randint(0, 9, (40, 6)))
    of_a_file = SMALL.replace(tokens=own, train_on="repeated")
    with pytest.raises(ConfigError, match=r"train_on=repeated is for repeated tokens"):
        of_a_file.build()
    missing = SMALL.replace(tokens=TokenFile(path=str(tmp_path / "nothing")))
    with pytest.raises(FileNotFoundError):
        missing.build()


def test_what_cannot_be_trained_on_is_not_saved(tmp_path):
    path = tmp_path / "tokens.safetensors"
    save_tokens(path, torch.arange(20).reshape(4, 5))
    wrong_ones = (
        *(torch.randn(4, 5), -torch.ones(4, 5, dtype=torch.int64), torch.ones(3), np.ones((4, 5))),
        *([[1, 2], [3]], [["a"]], "text", np.full((4, 5), 2**64 - 1, np.uint64)),
    )
    for wrong in wrong_ones:
        with (
            without_shape_checks(),
            pytest.raises(ConfigError, match=r"what is to be saved as .*tokens"),
        ):
            save_tokens(path, wrong)
    assert TokenFile(path=str(path)).load().tokens.shape == (4, 5)


@pytest.mark.parametrize("objective", ["next_token", "masked"])
def test_torchs_default_dtype_changes_nothing(objective, tmp_path):
    config = SMALL.replace(objective=objective, n_sequences=320)
    expected = train(config, tmp_path / "float32", progress=False).weights()
    torch.set_default_dtype(torch.float64)
    try:
        run = train(config, tmp_path / "float64", progress=False)
    finally:
        torch.set_default_dtype(torch.float32)
    assert same_weights(run.weights(), expected)
