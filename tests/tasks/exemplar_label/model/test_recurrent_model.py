"""Recurrent models compute what torch's own do, and train, save and load as transformers do."""

import pytest
import torch
import torch.nn.functional as F
from small_models import D_FEATURE, N_LABELS, small_sequences
from unchecked import without_shape_checks

from coopetition_interp.analysis.attention_strengths import head_strengths
from coopetition_interp.analysis.weight_swaps import weight_swap
from coopetition_interp.interventions import AblateHeads, run_clamped
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.model import ModelConfig, RecurrentModel
from coopetition_interp.tasks.exemplar_label.sequences import standard_evaluators
from coopetition_interp.training import ConfigError, OptimizerConfig, load_run, train
from coopetition_interp.training.training_step import TrainingStep

KINDS = ("rnn", "lstm")


def a_model(kind, **options):
    config = ModelConfig(kind=kind, d_model=12, init_seed=1, **options)
    model = config.build(D_FEATURE, N_LABELS, 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape)
    return model


def sequences(batch=6):
    return small_sequences(batch, dtype=torch.float32)


def torchs_own(model, kind):
    """The same layers made of torch's."""
    if kind == "rnn":
        layers = torch.nn.RNN(12, 12, 2, nonlinearity="relu", batch_first=True)
    else:
        layers = torch.nn.LSTM(12, 12, 2, batch_first=True)
    with torch.no_grad():
        for index, layer in enumerate(model.layers):
            weights = {"ih": (layer.W_x, layer.b_x)}
            if kind == "rnn":
                weights["hh"] = (layer.W_h, layer.b_h)
            else:
                shift = torch.zeros(48)
                shift[24:36] = 1.0  # the forget gate's
                weights["hh"] = (layer.W_h, shift)
            for name, (weight, bias) in weights.items():
                if kind == "lstm":  # torch's gates: enters, forgets, new, leaves
                    weight, bias = (
                        torch.cat([part.chunk(4, -1)[gate] for gate in (0, 2, 1, 3)], -1)
                        for part in (weight, bias)
                    )
                getattr(layers, f"weight_{name}_l{index}").copy_(weight.T)
                getattr(layers, f"bias_{name}_l{index}").copy_(bias)
    return layers


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_of_torchs_own_layers(kind):
    model = a_model(kind)
    _, cache = model.run_with_cache(sequences())
    tokens = cache["hook_embed"] + cache["hook_pos_embed"]
    states, _ = torchs_own(model, kind)(tokens)
    torch.testing.assert_close(cache["layers.1.hook_out"], states, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer_norm", [True, False])
def test_what_is_returned_agrees(kind, layer_norm):
    model, batch = a_model(kind, layer_norm=layer_norm), sequences()
    logits = model(batch)
    assert logits.shape == (6, 5, N_LABELS)
    query = model(batch, return_type="query_logits")
    torch.testing.assert_close(query, logits[:, -1])
    normalised = model(batch, return_type="normalised_query")
    torch.testing.assert_close(normalised @ model.W_U + model.b_U, query)
    loss = F.cross_entropy(query, batch.right_labels)
    torch.testing.assert_close(model(batch, return_type="loss"), loss)
    torch.testing.assert_close(run_clamped(model, batch, []), query)
    with pytest.raises(ValueError, match="return_type must be one of"):
        model(batch, return_type="both")
    for name, scores in score_model(model, batch, metrics="in_context").items():
        torch.testing.assert_close(scores, score_model(model, batch)[name])


def test_the_count_of_parameters_is_the_published_one():
    """Thesis, A.1: 297,719 at 2 layers and 627,959 at 12, 22,176 of them the image embedder's."""
    for n_layers, published in ((2, 297_719), (12, 627_959)):
        config = ModelConfig(kind="lstm", n_layers=n_layers, positions="sinusoidal")
        model = config.build(D_FEATURE, 1_623, 8)
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        embedder = sum(p.numel() for n, p in trained.items() if n.startswith("exemplar_embed."))
        assert sum(p.numel() for p in trained.values()) - embedder + 22_176 == published


def test_a_training_step_is_adams():
    model, reference = a_model("lstm"), a_model("lstm")
    reference.load_state_dict(model.state_dict())
    step = TrainingStep(model, OptimizerConfig(1e-2), 3, sequences(), compile=False)
    adam = torch.optim.Adam(reference.parameters(), lr=1e-2)
    for _ in range(3):
        step(sequences())
        adam.zero_grad()
        reference(sequences(), return_type="loss").backward()
        adam.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, reference.get_parameter(name), atol=2e-4, rtol=1e-3)


def test_a_run_is_trained_saved_and_loaded(short_config, tmp_path):
    few = standard_evaluators(n_sequences=50)[:2]
    config = short_config.replace(model={"kind": "rnn"}, n_sequences=640, evaluators=few)
    run = train(config, tmp_path / "run", progress=False)
    model = load_run(run.path).model("last")
    assert isinstance(model, RecurrentModel)
    scores = config.evaluator(model)(run.evaluation_sequences).set_index("evaluator")
    last = run.metrics[run.metrics["sequences_seen"] == 640].set_index("evaluator")
    for name in last.index:
        assert scores.loc[name, "loss"] == pytest.approx(last.loc[name, "loss"], abs=1e-6)
    assert run.metrics["training_loss"].dropna().iloc[-1] < 4.5  # log 64 is 4.16: it learns
    with pytest.raises(TypeError, match=r"swapped in transformers; .* the kind rnn"):
        weight_swap(run, run.evaluation_sequences, "second half", 640)
    with without_shape_checks(), pytest.raises(TypeError, match="transformers; got a Recurrent"):
        head_strengths(model, run.evaluation_sequences["train"])


def test_clamps_are_refused(short_config):
    clamp = AblateHeads([(0, 0)])
    with pytest.raises(ConfigError, match=r"clamps hold parts of a transformer.* a RecurrentModel"):
        run_clamped(a_model("rnn"), sequences(), [clamp])
    with pytest.raises(ConfigError, match=r"model.kind is 'lstm': leave clamps out"):
        short_config.replace(model={"kind": "lstm"}, clamps=(clamp,))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": {"kind": "rnn", "mlps": True}}, "mlps belong to a transformer"),
        ({"model": {"kind": "rnn", "positions": "rotary"}}, "rotary positions belong"),
        (
            {"model": {"kind": "rnn"}, "optimizer": {"l2": 1.0, "l2_on": ("attention",)}},
            "attention of the rnn, but it has none",
        ),
    ],
)
def test_what_belongs_to_transformers_is_refused(changes, told, short_config):
    with pytest.raises(ConfigError, match=told):
        short_config.replace(**changes)
