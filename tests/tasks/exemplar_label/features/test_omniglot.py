"""Omniglot through a frozen encoder, on small drawings made here."""

import functools
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

from coopetition_interp.command_line import main
from coopetition_interp.tasks.exemplar_label.features import (
    OmniglotError,
    OmniglotFeatures,
    allow_downloads,
    load_feature_file,
)
from coopetition_interp.tasks.exemplar_label.features.encoders import load_encoder
from coopetition_interp.tasks.exemplar_label.features.omniglot_folder import (
    download_omniglot,
    find_characters,
)
from coopetition_interp.training import load_run

ENCODER = "mobilenet_v3_small"
SIZE = 32
N_DRAWINGS = 3


@pytest.fixture(autouse=True)
def _one_thread():
    """Equal sums in this process and in the killed ones."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw_characters(folder: Path, subset: str, alphabet: str, n_characters: int) -> None:
    rng = np.random.default_rng([len(subset), n_characters])
    for character in range(1, n_characters + 1):
        strokes = rng.integers(2, 18, size=(4, 2))
        target = folder / subset / alphabet / f"character{character:02d}"
        target.mkdir(parents=True)
        for drawing in range(1, N_DRAWINGS + 1):
            image = Image.new("1", (21, 21), 1)
            points = [tuple(point) for point in (strokes + rng.integers(-1, 2, (4, 2))).tolist()]
            ImageDraw.Draw(image).line(points, fill=0, width=2)
            image.save(target / f"{character:04d}_{drawing:02d}.png")


def make_omniglot(root: Path, n_background: int = 3, n_evaluation: int = 2) -> Path:
    draw_characters(root / "omniglot-py", "images_background", "Greek", n_background)
    draw_characters(root / "omniglot-py", "images_evaluation", "Futurama", n_evaluation)
    return root


@pytest.fixture
def omniglot(tmp_path) -> Path:
    return make_omniglot(tmp_path / "omniglot")


def source_of(root: Path, **options) -> OmniglotFeatures:
    options = {"encoder": ENCODER, "image_size": SIZE, "pretrained": False, **options}
    return OmniglotFeatures(str(root), **options)


def load(root: Path, **options):
    return source_of(root, **options).load(device="cpu", progress=False)


def test_a_class_is_one_character_in_one_orientation(omniglot):
    bank = load(omniglot)
    assert bank.features.shape == (5 * 8, N_DRAWINGS, 1024)
    assert bank.features.dtype == torch.float16
    encoder = load_encoder(ENCODER, pretrained=False)
    files = sorted((omniglot / "omniglot-py").glob("*/*/*/*.png"))
    for character in (1, 4):
        for transform in range(8):
            for drawing in range(N_DRAWINGS):
                pixels = np.asarray(Image.open(files[character * N_DRAWINGS + drawing])).astype(
                    "f4"
                )
                turned = np.rot90(pixels, transform // 2)
                turned = np.fliplr(turned) if transform % 2 else turned
                scaled = torch.nn.functional.interpolate(
                    torch.from_numpy(turned.copy()).expand(1, 3, -1, -1),
                    (SIZE, SIZE),
                    mode="bilinear",
                )
                found = bank.features[8 * character + transform, drawing].float()
                torch.testing.assert_close(found, encoder(scaled)[0], rtol=2e-3, atol=1e-4)


def test_names_groups_and_held_out_characters(omniglot):
    bank = load(omniglot)
    assert bank.class_names[0] == "Greek/character01"
    assert bank.class_names[8 * 3 + 3] == "Futurama/character01 rot90 flip"
    split = bank.split(n_train_classes=24)
    trained, held_out = (
        {bank.class_names[c].split()[0] for c in classes}
        for classes in (split.train_classes, split.held_out_classes)
    )
    assert trained == {f"Greek/character0{i}" for i in (1, 2, 3)}
    assert held_out == {"Futurama/character01", "Futurama/character02"}
    assert len(split.held_out_classes) == 16


def test_unrotated_features_are_those_of_transform_zero(omniglot):
    upright = load(omniglot, transforms="unrotated")
    assert upright.n_classes == 5
    # Encoded among others and alone: equal but for the last digit of float16.
    torch.testing.assert_close(
        upright.features, load(omniglot).unrotated().features, rtol=2e-3, atol=1e-4
    )


def test_the_cache_is_read_instead_of_encoding_again(omniglot):
    first = load(omniglot)
    (cache,) = (omniglot / "features").glob("*.safetensors")
    written = cache.stat().st_mtime_ns
    second = load(omniglot)
    assert cache.stat().st_mtime_ns == written
    assert second.digest() == first.digest()
    assert second.provenance == first.provenance
    assert load_feature_file(cache).digest() == first.digest()
    assert not list((omniglot / "features").glob("*.chunks"))


def test_other_options_and_other_drawings_are_other_cache_entries(omniglot, tmp_path):
    cache_dir = tmp_path / "cache"
    for options in (
        {},
        {"image_size": 40},
        {"transforms": "unrotated"},
        {"encoder": "shufflenet_v2_x0_5"},
    ):
        load(omniglot, cache_dir=str(cache_dir), **options)
    load(make_omniglot(tmp_path / "more", n_evaluation=3), cache_dir=str(cache_dir))
    assert len(list(cache_dir.glob("*.safetensors"))) == 5


def test_a_cache_of_another_request_is_refused(omniglot):
    load(omniglot)
    load(omniglot, image_size=40)
    small, large = sorted((omniglot / "features").glob("*.safetensors"))
    large.write_bytes(small.read_bytes())
    with pytest.raises(OmniglotError, match=r"another request \(image_size: 32 there, 40 here\)"):
        load(omniglot, image_size=40)


def test_a_truncated_cache_is_refused(omniglot):
    load(omniglot)
    (cache,) = (omniglot / "features").glob("*.safetensors")
    cache.write_bytes(cache.read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated or corrupt"):
        load(omniglot)


def chunks_of(root: Path) -> list[Path]:
    return sorted((root / "features").glob("*.chunks/[0-9]*.safetensors"))


ENCODE_AND_KILL = """
import os, signal, sys

moved = 0

def kill_before_one_more(event, arguments):
    global moved
    if event == "os.rename":
        if moved == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        moved += 1

sys.addaudithook(kill_before_one_more)
"""


def kill_after_chunks(root: Path, n_new: int) -> None:
    """Encodes in another process, which SIGKILL ends as the chunk after `n_new` is put in place."""
    encode = (
        "from coopetition_interp.tasks.exemplar_label.features import OmniglotFeatures\n"
        f"{source_of(root)!r}.load(device='cpu', progress=False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", ENCODE_AND_KILL + encode, str(n_new)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == -signal.SIGKILL


def test_a_killed_encoding_goes_on_where_it_was(tmp_path):
    root = make_omniglot(tmp_path / "killed", 6, 6)
    for n_chunks in (1, 2):
        kill_after_chunks(root, 1)
        assert len(chunks_of(root)) == n_chunks
    assert not list((root / "features").glob("*.safetensors"))

    undisturbed = load(make_omniglot(tmp_path / "undisturbed", 6, 6))
    # Mark a chunk, so that what was kept shows in the result.
    first = chunks_of(root)[0]
    content = load_file(first)["features"]
    request = {"request": json.dumps(undisturbed.provenance["request"])}
    save_file({"features": content + 1}, first, request)
    resumed = load(root)
    assert torch.equal(resumed.features[32:], undisturbed.features[32:])
    assert torch.equal(resumed.features[:32], content + 1)
    assert torch.equal(content, undisturbed.features[:32])
    assert resumed.class_names == undisturbed.class_names
    assert not list((root / "features").glob("*.chunks"))


def test_a_chunk_of_another_request_is_refused(tmp_path):
    root = make_omniglot(tmp_path / "stopped", 4, 1)
    (last,) = (root / "omniglot-py/images_evaluation").glob("*/*/*_03.png")
    last.write_bytes(bytes(last.stat().st_size))
    with pytest.raises(OmniglotError, match="no readable image"):
        load(root)  # stops in the second chunk
    (first,) = chunks_of(root)
    save_file(load_file(first), first, {"request": json.dumps({"image_size": 7})})
    with pytest.raises(OmniglotError, match=r"00000.safetensors were made for another request"):
        load(root)
    first.write_bytes(b"half")
    with pytest.raises(OmniglotError, match=r"00000.safetensors is no chunk .* delete it"):
        load(root)


def test_both_layouts_of_the_folder_are_read(omniglot):
    names = [character.name for character in find_characters(omniglot)]
    assert names[0] == "images_background/Greek/character01"
    assert names[-1] == "images_evaluation/Futurama/character02"
    assert [character.name for character in find_characters(omniglot / "omniglot-py")] == names


def test_folders_that_are_not_omniglot_are_refused(omniglot, tmp_path):
    with pytest.raises(OmniglotError, match="has no images_background/ALPHABET"):
        load(tmp_path / "nowhere")
    target = omniglot / "omniglot-py" / "images_evaluation"
    target.rename(tmp_path / "aside")
    with pytest.raises(OmniglotError, match="has no images_evaluation/ALPHABET"):
        load(omniglot)


def test_missing_and_broken_drawings_are_refused(omniglot):
    drawing = omniglot / "omniglot-py/images_background/Greek/character02/0002_02.png"
    content = drawing.read_bytes()
    drawing.write_bytes(content[:40])
    with pytest.raises(OmniglotError, match=r"0002_02.png is no readable image"):
        load(omniglot)
    Image.new("1", (10, 10)).save(drawing)
    with pytest.raises(OmniglotError, match="character02 are not all of one size"):
        load(omniglot)
    drawing.unlink()
    with pytest.raises(OmniglotError, match="character02 has 2 drawings, others have 3"):
        load(omniglot)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "resnet19"}, "unknown encoder"),
        ({"image_size": 0}, "image_size must be an integer from 1 to 10,000"),
    ],
)
def test_impossible_options_are_refused(omniglot, options, message):
    with pytest.raises(ValueError, match=message):
        load(omniglot, **options)


@pytest.fixture
def served_folder(omniglot, tmp_path, monkeypatch):
    """Lets torchvision download the small drawings from a server in this process."""
    served = tmp_path / "served"
    served.mkdir()
    checksums = {}
    for subset in ("images_background", "images_evaluation"):
        archive = shutil.make_archive(
            str(served / subset), "zip", omniglot / "omniglot-py", base_dir=subset
        )
        checksums[subset] = torchvision.datasets.utils.calculate_md5(archive)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=served)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(torchvision.datasets.Omniglot, "download_url_prefix", url)
        monkeypatch.setattr(torchvision.datasets.Omniglot, "zips_md5", checksums)
        yield served
        server.shutdown()


def test_download_by_torchvision(omniglot, served_folder, tmp_path):
    root = tmp_path / "fresh"
    with allow_downloads():
        downloaded = load(root, download=True)
    assert downloaded.digest() == load(omniglot).digest()
    for archive in served_folder.iterdir():
        archive.unlink()
    assert load(root, download=True).digest() == downloaded.digest()  # nothing is fetched again
    assert not list(root.glob(".omniglot-download-*"))


def test_a_config_alone_downloads_nothing(served_folder, tmp_path):
    """A stranger's run says `"download": true`: its bank must not reach for the network."""
    shutil.copytree("checkpoints/tiny", tmp_path / "run")
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["features"] = source_of(tmp_path / "fresh", download=True).to_dict()
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    run = load_run(tmp_path / "run")
    assert run.config.features.download
    with pytest.raises(OmniglotError, match=r"fetches nothing: run `.*--root .*fresh --download`"):
        run.bank  # noqa: B018
    assert not (tmp_path / "fresh").exists()


def test_the_command_line_downloads_when_asked(omniglot, served_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    weights = tmp_path / "torch/hub/checkpoints"
    weights.mkdir(parents=True)
    network = torchvision.models.get_model(ENCODER, weights=None)
    url = torchvision.models.get_model_weights(ENCODER).DEFAULT.url
    torch.save(network.state_dict(), weights / url.rsplit("/", 1)[-1])
    command = ["features", str(tmp_path / "f.h5"), "--root", str(tmp_path / "fresh")]
    command += ["--encoder", ENCODER, "--image-size", str(SIZE)]
    assert main(command) == 2
    assert not (tmp_path / "fresh").exists()
    assert main([*command, "--download"]) == 0
    written = load_feature_file(tmp_path / "f.h5")
    assert written.class_names == load(omniglot).class_names
    assert written.d_feature == 1024


def test_a_failed_download_is_told_and_leaves_no_half(served_folder, tmp_path):
    (served_folder / "images_evaluation.zip").unlink()
    root = tmp_path / "fresh"
    with pytest.raises(OmniglotError, match=r"could not be downloaded .* extract"):
        download_omniglot(root)
    assert not list(root.iterdir())
