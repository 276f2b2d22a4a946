"""A recorded step is the step that torch's own autograd and Adam would take."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from coopetition_interp.interventions import AblateHeads
from coopetition_interp.tasks.exemplar_label.model import ModelConfig
from coopetition_interp.tasks.exemplar_label.query_loss import query_cross_entropy
from coopetition_interp.tasks.exemplar_label.sequences import Sequences
from coopetition_interp.training import OptimizerConfig, TrainingStep

N_LABELS, D_FEATURE = 40, 12


def random_batch(seed: int, n_labels: int = N_LABELS) -> Sequences:
    generator = torch.Generator().manual_seed(seed)
    return Sequences(
        torch.randn(8, 3, D_FEATURE, generator=generator),
        torch.randint(0, n_labels, (8, 3), generator=generator),
        torch.zeros(8, 3, dtype=torch.int64),
    )


def make_model(**shape):
    return ModelConfig(n_heads=4, d_model=32, **shape).build(D_FEATURE, N_LABELS, 2)


def torch_adam_losses(model, optimizer: OptimizerConfig, n_steps: int, l2=lambda name: 0.0):
    """The same training by torch's own means."""
    parameters = model.trainable_parameters()
    adam = torch.optim.Adam(parameters.values(), lr=1.0, betas=(optimizer.beta1, optimizer.beta2))
    losses = []
    for index in range(n_steps):
        for group in adam.param_groups:
            group["lr"] = optimizer.learning_rate_at(index, n_steps)
        batch = random_batch(index)
        loss = F.cross_entropy(model(batch)[:, -1], batch.right_labels)
        penalty = sum(l2(name) * p.pow(2).sum() for name, p in parameters.items())
        adam.zero_grad()
        (loss + penalty).backward()
        adam.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"mlps": True, "positions": "sinusoidal"},
        {"positions": "rotary", "layer_norm": False, "n_layers": 1},
    ],
)
@pytest.mark.parametrize(
    "optimizer",
    [
        OptimizerConfig(learning_rate=1e-3),
        OptimizerConfig(learning_rate=1e-3, schedule="inverse_sqrt", warmup_steps=4),
        OptimizerConfig(learning_rate=1e-3, schedule="cosine"),
    ],
)
def test_equals_torch_adam(shape, optimizer):
    model = make_model(**shape)
    reference = copy.deepcopy(model)
    step = TrainingStep(model, optimizer, 12, random_batch(0), compile=False)
    losses = [step(random_batch(index)).item() for index in range(12)]
    expected = torch_adam_losses(reference, optimizer, 12)
    assert losses == pytest.approx(expected, abs=1e-4)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, reference.get_parameter(name), atol=2e-4, rtol=1e-3)


def test_l2_is_added_to_the_chosen_parameters_gradient():
    optimizer = OptimizerConfig(learning_rate=1e-3, l2=0.05, l2_on=("attention", "embedding"))
    model = make_model()
    reference = copy.deepcopy(model)
    step = TrainingStep(model, optimizer, 6, random_batch(0), compile=False)
    for index in range(6):
        step(random_batch(index))

    def weight(name: str) -> float:
        return 0.05 if ".attn." in name or "embed." in name.removeprefix("un") else 0.0

    weights = {
        n: 0.0 if n.startswith("unembed") else weight(n) for n in dict(model.named_parameters())
    }
    torch_adam_losses(reference, optimizer, 6, l2=weights.__getitem__)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, reference.get_parameter(name), atol=2e-4, rtol=1e-3)


# They differ in which head alone: inductor's cache must not take one for the other. One layer
# halves the time it takes to compile.
@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT",
    reason="torch compiles for CPUs with vector instructions alone, elsewhere the record is run",
)
@pytest.mark.parametrize("clamp", [AblateHeads([(0, 1)]), AblateHeads([(0, 2)])])
def test_compiled_equals_recorded(clamp):
    recorded_model = make_model(n_layers=1)
    compiled_model = copy.deepcopy(recorded_model)
    settings = (OptimizerConfig(learning_rate=1e-3), 5, random_batch(0), (clamp,))
    recorded = TrainingStep(recorded_model, *settings, compile=False)
    compiled = TrainingStep(compiled_model, *settings, compile=True)
    assert compiled.compiled
    for index in range(5):
        batch = random_batch(index)
        torch.testing.assert_close(recorded(batch), compiled(batch), atol=1e-4, rtol=1e-4)
    batch = random_batch(5)
    strided = replace(batch, exemplars=batch.exemplars.mT.contiguous().mT)
    assert not strided.exemplars.is_contiguous()
    torch.testing.assert_close(recorded(batch), compiled(strided), atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match=r"torch.float32.*; got .*torch.float64"):
        compiled(replace(batch, exemplars=batch.exemplars.double()))


def test_attention_biases_stay_zero():
    model = make_model()
    step = TrainingStep(
        model, OptimizerConfig(learning_rate=1e-2), 3, random_batch(0), compile=False
    )
    for index in range(3):
        step(random_batch(index))
    biases = [p for name, p in model.named_parameters() if ".attn.b_" in name]
    assert len(biases) == 8
    assert all((bias == 0).all() for bias in biases)


def test_building_a_step_takes_no_step():
    model = make_model()
    before = {name: p.clone() for name, p in model.named_parameters()}
    TrainingStep(model, OptimizerConfig(learning_rate=1e-2), 3, random_batch(0), compile=False)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_ablated_heads_values_do_not_learn():
    model = make_model()
    before = model.W_V.clone()
    step = TrainingStep(
        model,
        OptimizerConfig(learning_rate=1e-2),
        3,
        random_batch(0),
        [AblateHeads([(0, 1), (1, 2)])],
        compile=False,
    )
    for index in range(3):
        step(random_batch(index))
    unchanged = (before == model.W_V).flatten(2).all(-1)
    assert unchanged.nonzero().tolist() == [[0, 1], [1, 2]]


def test_a_batch_of_another_shape_is_refused():
    step = TrainingStep(make_model(), OptimizerConfig(), 3, random_batch(0), compile=False)
    with pytest.raises(ValueError, match=r"built for a batch of tensors \[\[8, .* got \[\[4, "):
        step(random_batch(1)[:4])


def test_query_cross_entropy_is_torch_cross_entropy():
    logits = (20 * torch.randn(6, 50, dtype=torch.float64)).requires_grad_()
    labels = torch.randint(0, 50, (6,))
    ours = query_cross_entropy(logits, labels)
    expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(ours, expected)
    (gradient,) = torch.autograd.grad(ours, logits)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(gradient, expected_gradient)
    assert torch.autograd.gradcheck(query_cross_entropy, (logits, labels))


def replace_weights(model):
    with_new = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.load_state_dict(with_new, assign=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda model: model.to(torch.float64, print_details=False), "embed.W_E"),
        (lambda model: model.double(), "embed.W_E"),
        (replace_weights, "embed.W_E"),
        (lambda model: model.process_weights_(), "ln1"),
        (lambda model: setattr(model, "unembed", copy.deepcopy(model.unembed)), "unembed"),
        (lambda model: model.blocks[1].attn.__setattr__("W_K", None), "blocks.1.attn.W_K"),
        (
            lambda model: TrainingStep(model, OptimizerConfig(), 3, random_batch(0), compile=False),
            "embed.W_E",
        ),
    ],
    ids=["to", "double", "assign", "process_weights_", "module", "none", "another step"],
)
def test_a_model_whose_parameters_were_replaced_is_refused(change, named):
    model = make_model()
    step = TrainingStep(model, OptimizerConfig(), 3, random_batch(0), compile=False)
    step(random_batch(0))
    change(model)
    before = [tensor.clone() for tensor in step.state.packed]
    with pytest.raises(RuntimeError, match=rf"{named} was replaced after .* make a new Training"):
        step(random_batch(1))
    assert step.state.steps_done == 1
    assert all(map(torch.equal, before, step.state.packed))


def test_weights_loaded_into_place_are_trained_on():
    model, donor = make_model(), make_model(init_seed=9)
    step = TrainingStep(model, OptimizerConfig(), 3, random_batch(0), compile=False)
    model.load_state_dict(donor.state_dict())
    expected = query_cross_entropy(donor(random_batch(0))[:, -1], random_batch(0).right_labels)
    assert step(random_batch(0)).item() == pytest.approx(expected.item(), abs=1e-5)
    assert not torch.equal(model.W_Q, donor.W_Q)


def test_large_parameters_are_watched_too(monkeypatch):
    monkeypatch.setattr("coopetition_interp.training.optimizer_state.PACKED_BELOW", 100)
    model = make_model()
    step = TrainingStep(model, OptimizerConfig(), 3, random_batch(0), compile=False)
    assert step.state.large
    model.embed.W_E.data = model.embed.W_E.data.clone()
    with pytest.raises(RuntimeError, match=r"embed.W_E was replaced"):
        step(random_batch(0))
