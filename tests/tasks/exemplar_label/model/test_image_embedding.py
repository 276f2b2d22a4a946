"""The image embedding is the published network; its statistics are trained, saved and resumed."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from coopetition_interp.interventions import AblateHeads, GraftIn, bind, run_clamped
from coopetition_interp.interventions.model_weights import running_statistics, weights_of
from coopetition_interp.tasks.exemplar_label.features import (
    OmniglotError,
    OmniglotImages,
    omniglot_images,
)
from coopetition_interp.tasks.exemplar_label.model import ModelConfig
from coopetition_interp.tasks.exemplar_label.model.image_embedding import BatchNorm
from coopetition_interp.tasks.exemplar_label.sequences import Sequences, standard_evaluators
from coopetition_interp.training import ConfigError, OptimizerConfig, train
from coopetition_interp.training.run_directory import read_tensors
from coopetition_interp.training.training_step import TrainingStep

SIDE = 12
SMALL = ModelConfig(exemplar_embedding="resnet", n_layers=1, n_heads=2, d_head=4, d_model=8)


def sequences(batch=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Sequences(
        torch.rand(batch, 3, SIDE * SIDE, generator=generator),
        torch.tensor([[0, 1, 1]]).expand(batch, -1),
        torch.tensor([[2, 1, 0]]).expand(batch, -1),
    )


def a_model():
    return SMALL.build(SIDE * SIDE, 6, 2)


def test_it_has_the_published_number_of_parameters():
    model = ModelConfig(exemplar_embedding="resnet").build(105 * 105, 10, 2)
    assert sum(p.numel() for p in model.exemplar_embed.parameters()) == 22_176
    seen = {}
    hooks = [(f"exemplar_embed.groups.{i}.hook_out", lambda x, hook: seen.update({hook.name: x}))
             for i in range(4)]  # fmt: skip
    with model.hooks(fwd_hooks=hooks):
        embedded = model.exemplar_embed(torch.rand(1, 2, 105 * 105))
    assert embedded.shape == (1, 2, 64)
    assert [tuple(x.shape) for x in seen.values()] == [
        (2, 16, 27, 27), (2, 32, 14, 14), (2, 32, 7, 7), (2, 64, 4, 4)
    ]  # fmt: skip


def test_batch_normalisation_is_torchs():
    own, torchs = BatchNorm(3, torch.float32), torch.nn.BatchNorm2d(3, momentum=0.1)
    images = 2 + 3 * torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(own.train()(images), torchs.train()(images), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own.mean, torchs.running_mean)
    of_batch = images.var(dim=(0, 2, 3), unbiased=False)
    torch.testing.assert_close(own.variance, 0.9 + 0.1 * of_batch)
    torchs.running_var.copy_(own.variance)  # its own is of the unbiased variance
    torch.testing.assert_close(own.eval()(images), torchs.eval()(images), atol=1e-5, rtol=1e-5)


def test_a_training_step_is_adams_with_the_batchs_statistics_and_can_be_put_back():
    model = a_model().double()
    reference = copy.deepcopy(model).train()
    step = TrainingStep(model, OptimizerConfig(1e-2), 3, sequences(), compile=False)
    adam = torch.optim.Adam(reference.trainable_parameters().values(), lr=1e-2)
    for index in range(2):
        saved = {name: each.clone() for name, each in step.state.buffers().items()}
        step(sequences(seed=index))
        adam.zero_grad()
        reference(sequences(seed=index), return_type="loss").backward()
        adam.step()
    expected = weights_of(reference)
    for name, weight in weights_of(model).items():  # in double precision: Adam enlarges rounding
        torch.testing.assert_close(weight, expected[name], atol=1e-6, rtol=1e-6)
    assert len(running_statistics(model)) > 40
    assert (model.exemplar_embed.stem.batch_norm.mean != 0).all()

    after = {name: each.clone() for name, each in weights_of(model).items()}
    step.state.load_buffers(saved, 1)
    step(sequences(seed=1))
    assert all(torch.equal(each, after[name]) for name, each in weights_of(model).items())

    # Outside training it is in evaluation mode: statistics stay, and sequences do not mix.
    assert not model.training
    batch = sequences()
    together = run_clamped(model, batch, [AblateHeads([(0, 1)])])
    alone = run_clamped(model, batch[2:3], [AblateHeads([(0, 1)])])
    torch.testing.assert_close(together[2:3], alone)
    statistics = running_statistics(model).items()
    assert all(torch.equal(each, after[name]) for name, each in statistics)


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    root = tmp_path_factory.mktemp("omniglot")
    rng = np.random.default_rng(0)
    for subset, n_characters in (("images_background", 7), ("images_evaluation", 3)):
        for character in range(n_characters):
            folder = root / subset / "Greek" / f"character{character:02d}"
            folder.mkdir(parents=True)
            strokes = rng.integers(0, SIDE, size=(4, 2))
            for drawing in range(3):
                image = Image.new("1", (SIDE, SIDE), 1)
                points = strokes + rng.integers(-1, 2, (4, 2))
                ImageDraw.Draw(image).line([tuple(p) for p in points.tolist()], fill=0, width=1)
                image.save(folder / f"{drawing:02d}.png")
    return OmniglotImages(str(root), image_size=SIDE)


def test_drawings_become_a_bank_of_grey_values(drawings, monkeypatch):
    bank = drawings.load()
    assert bank.features.shape == (10, 3, SIDE * SIDE)
    assert set(bank.features.unique().tolist()) == {0.0, 1.0}
    every = drawings.replace(transforms="all").load()
    assert (every.n_classes, len(np.unique(every.class_group))) == (80, 10)
    flipped = bank.features[0].view(3, SIDE, SIDE).flip(-1).flatten(1)
    assert torch.equal(every.features[1], flipped)
    assert drawings.replace(image_size=8).load().d_feature == 64
    monkeypatch.setattr(omniglot_images, "MOST_BYTES", 1000)
    with pytest.raises(OmniglotError, match="lower image_size"):
        drawings.load()


def test_a_run_on_drawings_keeps_its_statistics(drawings, tmp_path, short_config):
    config = short_config.replace(
        features=drawings,
        classes={"n_train": 7},
        model=SMALL,
        n_sequences=160,
        sequences={"input_noise_sd": 0.1},
        evaluators=standard_evaluators(n_sequences=20)[:2],
        optimizer={"l2": 1e-4, "l2_on": ("exemplar_embedding",)},
    )
    whole = train(config, tmp_path / "whole", progress=False)
    assert "exemplar_embed.stem.batch_norm.variance" in whole.weights("last")
    assert (whole.metrics["l2_penalty"] > 0).all()

    model = whole.model("last")
    scores = config.evaluator(model)(whole.evaluation_sequences).set_index("evaluator")
    last = whole.metrics[whole.metrics["sequences_seen"] == 160].set_index("evaluator")
    for name in last.index:
        assert scores.loc[name, "loss"] == pytest.approx(last.loc[name, "loss"], abs=1e-5)

    path = whole.checkpoint_path("last")
    assert set(read_tensors(path)[0]) == set(weights_of(model))
    with pytest.raises(ValueError, match="batch normalisations, whose statistics go on changing"):
        bind([GraftIn(str(path), 0)], model)


def test_features_that_are_no_images_are_refused(short_config, tmp_path):
    config = short_config.replace(
        features={"d_feature": 15}, model={"exemplar_embedding": "resnet"}
    )
    with pytest.raises(ValueError, match="15 features are none: take a source of images"):
        train(config, tmp_path / "run", progress=False)
    with pytest.raises(ConfigError, match="exemplar_embedding must be 'linear' or 'resnet'"):
        short_config.with_overrides(["model.exemplar_embedding=cnn"])


def test_the_whole_model_folds_and_caches_as_others_do():
    model, batch = a_model(), sequences()
    plain = model(batch, return_type="query_logits")
    _, cache = model.run_with_cache(batch, pos_slice=-1)
    assert cache["exemplar_embed.groups.3.hook_out"].shape[0] == 15
    folded = copy.deepcopy(model)
    folded.process_weights_(center_unembed=False)
    torch.testing.assert_close(
        folded(batch, return_type="query_logits"), plain, atol=1e-4, rtol=1e-4
    )
