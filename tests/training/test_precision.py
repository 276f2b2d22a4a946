"""TF32 is what a run on a GPU asks for, is set while it lasts, and is refused on a CPU."""

import pytest
import torch

from coopetition_interp.training import (
    ConfigError,
    RunConfig,
    machine,
    resume,
    train,
    train_together,
)
from coopetition_interp.training.machine import products_in

GPU, CPU = torch.device("cuda"), torch.device("cpu")


def set_now() -> tuple[str, bool]:
    """How torch multiplies on a GPU, and whether it convolves in TF32 there."""
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


def test_it_is_set_for_a_block_and_put_back():
    before = set_now()
    with products_in("tf32", GPU):
        assert set_now() == ("high", True)
        with products_in("float32", GPU):
            assert set_now() == ("highest", False)
        assert set_now() == ("high", True)
    assert set_now() == before
    with pytest.raises(KeyError), products_in("tf32", GPU):
        raise KeyError
    assert set_now() == before


def test_on_a_cpu_nothing_is_set():
    before = set_now()
    with products_in("float32", CPU):
        assert set_now() == before


def test_a_run_has_it_from_its_first_step_to_its_last(short_config, tmp_path, monkeypatch):
    """As on a GPU, where it would compute."""
    monkeypatch.setattr(machine, "products_in", lambda asked, _: products_in(asked, GPU))
    config = short_config.replace(precision="tf32", device="cpu", n_sequences=320)
    before, seen = set_now(), []
    for go in (
        lambda note: train(config, tmp_path / "run", progress=False, on_evaluation=note),
        lambda note: resume(tmp_path / "run", n_sequences=640, progress=False, on_evaluation=note),
    ):
        run = go(lambda _: seen.append(set_now()))
        assert set_now() == before
        assert run.config.precision == "tf32"
    assert len(seen) > 2
    assert set(seen) == {("high", True)}


def test_it_is_refused_on_a_cpu_before_anything_is_written(short_config, tmp_path):
    config = short_config.replace(precision="tf32", device="cpu")
    told = "precision is tf32, which only a GPU .* use precision=float32"
    with pytest.raises(ConfigError, match=told):
        train(config, tmp_path / "alone", progress=False)
    with pytest.raises(ConfigError, match=told):
        train_together([config], tmp_path, progress=False)
    assert not list(tmp_path.rglob("config.json"))


def test_configs_saved_before_there_was_a_choice_stay_as_they_were(short_config):
    assert "precision" not in short_config.to_dict()
    chosen = short_config.with_overrides(["precision=tf32"])
    assert chosen.to_dict()["precision"] == "tf32"
    assert RunConfig.from_dict(chosen.to_dict()) == chosen
    with pytest.raises(ConfigError, match="precision must be 'float32' or 'tf32'"):
        short_config.with_overrides(["precision=float16"])


def test_runs_of_two_precisions_are_not_trained_together(short_config, tmp_path):
    configs = [short_config.replace(name=name, precision=name) for name in ("float32", "tf32")]
    with pytest.raises(ConfigError, match="differ in precision"):
        train_together(configs, tmp_path, progress=False)
