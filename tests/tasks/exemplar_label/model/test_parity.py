"""The model computes what the published description says, for every kind of positions."""

import pytest
import torch
from reference_model import reference_forward
from small_models import leaves, query_loss_gradients, small_model, small_sequences

from coopetition_interp.tasks.exemplar_label.model import ModelConfig
from coopetition_interp.tasks.exemplar_label.sequences import Sequences

POSITIONS = [("learned", 30.0), ("sinusoidal", 30.0), ("rotary", 30.0), ("rotary", 10000.0)]
BLOCKS = [
    {"mlps": False},
    {"mlps": True},
    {"mlps": False, "n_layers": 1},
    {"mlps": False, "n_layers": 3},
    {"mlps": False, "layer_norm": False},
]


@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
@pytest.mark.parametrize(("positions", "base"), POSITIONS)
def test_logits_and_gradients_equal_the_reference(positions, base, blocks):
    model = small_model(positions=positions, position_base=base, n_pairs=3, **blocks)
    sequences = small_sequences(n_pairs=3)
    logits = model(sequences, return_type="logits")
    own = model.trainable_parameters()
    loss, gradients = query_loss_gradients(logits[:, -1], sequences, own)

    weights = leaves(model)
    reference = reference_forward(
        weights, sequences.exemplars, sequences.context_labels, positions, base
    )["logits"]
    # Sinusoids are stored in single precision, the reference's are not.
    precision = (
        {"rtol": 1e-9, "atol": 1e-9} if positions != "sinusoidal" else {"rtol": 1e-5, "atol": 1e-5}
    )
    torch.testing.assert_close(logits, reference, **precision)
    reference_loss, reference_gradients = query_loss_gradients(reference[:, -1], sequences, weights)
    torch.testing.assert_close(loss, reference_loss, **precision)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, reference_gradients[name], **precision, msg=name)


@pytest.mark.parametrize(("positions", "base"), POSITIONS)
def test_published_shape_in_single_precision_is_within_1e_5(positions, base):
    model = ModelConfig(positions=positions, position_base=base).build(512, 100, 2)
    sequences = Sequences(
        torch.randn(32, 3, 512, generator=torch.Generator().manual_seed(0)),
        torch.randint(100, (32, 3), generator=torch.Generator().manual_seed(1)),
        torch.zeros(32, 3, dtype=torch.long),
    )
    weights = {name: value.double() for name, value in leaves(model).items()}
    reference = reference_forward(
        weights, sequences.exemplars.double(), sequences.context_labels, positions, base
    )
    logits, cache = model.run_with_cache(sequences)
    torch.testing.assert_close(logits.double(), reference["logits"], rtol=1e-5, atol=1e-5)
    for layer in range(2):
        for ours, theirs in [("attn.hook_pattern", "pattern"), ("hook_resid_post", "resid_post")]:
            torch.testing.assert_close(
                cache[f"blocks.{layer}.{ours}"].double(),
                reference[f"{theirs}.{layer}"],
                rtol=1e-5,
                atol=1e-5,
            )


def test_fewer_pairs_than_the_model_was_built_for():
    model = small_model(n_pairs=4)
    sequences = small_sequences(n_pairs=2)
    reference = reference_forward(leaves(model), sequences.exemplars, sequences.context_labels)
    torch.testing.assert_close(model(sequences), reference["logits"])
