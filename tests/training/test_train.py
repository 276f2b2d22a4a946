"""Runs: the same bits whatever happens around them, and nothing lost when something breaks."""

import errno
import importlib
import math
import multiprocessing
import os
import re
import shutil
import signal
import time
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from same_weights import same_weights
from small_models import DIVERGING

from coopetition_interp.files.tensor_file import write_tensor_file
from coopetition_interp.interventions import AblateHeads
from coopetition_interp.tasks.exemplar_label import preset
from coopetition_interp.tasks.exemplar_label.features import (
    FeatureFile,
    GaussianFeatures,
    save_feature_file,
)
from coopetition_interp.tasks.exemplar_label.model import ModelConfig
from coopetition_interp.training import (
    ConfigError,
    NonFiniteLossError,
    RunError,
    TrainingStep,
    load_run,
    load_weights,
    resume,
    state_of,
    train,
)
from coopetition_interp.training.run_directory import RunDirectory, read_tensors

run_record = importlib.import_module("coopetition_interp.training.run_record")
prepared = importlib.import_module("coopetition_interp.training.prepared")
train_module = importlib.import_module("coopetition_interp.training.train")
processes = multiprocessing.get_context("forkserver")  # autograd's threads do not survive a fork
processes.set_forkserver_preload(["coopetition_interp.training"])


def test_a_run_learns_and_is_read_back(short_run):
    metrics = short_run.metrics
    assert sorted(metrics.sequences_seen.unique()) == [0, 640, 1280, 1920]
    assert set(metrics.evaluator) == {"train", "icl", "ciwl", "flip", "iwl"}
    loss = metrics[metrics.evaluator == "train"].set_index("sequences_seen").loss
    assert loss[1920] < loss[0] - 1
    assert short_run.checkpoints == [0, 640, 1280, 1920]
    assert short_run.status["state"] == "finished"
    model = short_run.model("last")
    assert torch.equal(model.W_U, short_run.weights(1920)["unembed.W_U"])
    recorded = metrics[(metrics.sequences_seen == 1920)].set_index("evaluator").loss
    from coopetition_interp.tasks.exemplar_label.evaluation import evaluate

    again = evaluate(model, short_run.evaluation_sequences).set_index("evaluator").loss
    np.testing.assert_allclose(again[recorded.index], recorded, rtol=1e-5)


def test_a_run_tells_itself_in_a_line_and_a_notebook_shows_its_scores(short_run, tmp_path):
    told = repr(short_run)
    assert told == (
        f"ExemplarLabelRun({str(short_run.path)!r}: ExemplarLabelConfig, 1,920 of 1,920 sequences "
        "seen, finished)"
    )
    named = replace(short_run, path=Path(shutil.copytree(short_run.path, tmp_path / "<b>")))
    shown = named._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert shown.count("<tr>") == 5  # its evaluators at the last moment
    header = (named.path / "metrics.csv").read_text().splitlines(keepends=True)[0]
    (named.path / "metrics.csv").write_text(header)  # as before the first evaluation
    assert named._repr_html_() == f"<p>{escape(repr(named))}</p>"
    (named.path / "metrics.csv").write_text("no table")
    assert named._repr_html_() == f"<p>{escape(repr(named))}</p>"
    (named.path / "status.json").write_text("[]")
    assert "its status.json cannot be read" in repr(named)


def test_the_first_checkpoint_is_the_initialisation(short_run):
    model = short_run.config.model.build(
        short_run.resolved["d_feature"], short_run.resolved["n_labels"], 2
    )
    assert same_weights(dict(model.named_parameters()), short_run.weights("first"))


def test_evaluating_and_checkpointing_change_nothing(short_run, short_config, tmp_path):
    other = short_config.with_overrides(
        ['evaluate_at={"at": [96, 320]}', 'checkpoint_at={"log_spaced": 7, "log_from": 64}']
    )
    run = train(other, tmp_path / "run", progress=False)
    assert same_weights(run.weights(), short_run.weights())


def test_seeds_change_the_weights(short_run, short_config, tmp_path):
    run = train(short_config.replace(data_seed=3), tmp_path / "run", progress=False)
    assert not same_weights(run.weights(), short_run.weights())
    assert same_weights(run.weights("first"), short_run.weights("first"))


def test_a_finished_run_is_not_run_again(short_run):
    before = (short_run.path / "metrics.csv").stat().st_mtime_ns
    assert same_weights(resume(short_run.path).weights(), short_run.weights())
    assert (short_run.path / "metrics.csv").stat().st_mtime_ns == before


def test_a_run_made_longer_has_the_weights_of_one_so_long_from_the_start(short_config, tmp_path):
    longer = short_config.n_sequences + 640
    whole = train(short_config.replace(n_sequences=longer), tmp_path / "whole", progress=False)
    train(short_config, tmp_path / "parts", progress=False)
    lengthened = resume(tmp_path / "parts", n_sequences=longer, progress=False)
    assert lengthened.config == whole.config
    assert lengthened.checkpoints == whole.checkpoints
    assert same_weights(lengthened.weights(), whole.weights())
    pd.testing.assert_frame_equal(lengthened.metrics, whole.metrics, check_exact=True)
    assert lengthened.status["state"] == "finished"


@pytest.mark.parametrize("n_sequences", [1e30, 10**13, float("nan"), float("inf"), 1920.5])
def test_a_length_that_cannot_be_is_refused_before_anything_is_written(
    n_sequences, short_run, tmp_path
):
    run = Path(shutil.copytree(short_run.path, tmp_path / "run"))
    with pytest.raises(ConfigError, match="n_sequences"):
        resume(run, n_sequences=n_sequences, progress=False)
    assert contents(run) == contents(short_run.path)
    assert resume(run).status["state"] == "finished"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run but its lock."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".lock"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_a_run_is_not_made_longer_before_all_is_built(short_run, tmp_path, monkeypatch):
    run = Path(shutil.copytree(short_run.path, tmp_path / "run"))

    def no_memory(*_: object, **__: object):
        raise MemoryError("not so much")

    monkeypatch.setattr(prepared, "PhasedTrainingStep", no_memory)
    with pytest.raises(MemoryError):
        resume(run, n_sequences=2560, progress=False)
    assert contents(run) == contents(short_run.path)


def test_finished_means_as_many_sequences_as_the_config_says(short_run, short_config, tmp_path):
    """A run that was killed while being made longer: the config is the longer one's already."""
    run = Path(shutil.copytree(short_run.path, tmp_path / "run"))
    longer = short_config.replace(n_sequences=2560)
    RunDirectory(run).write_config(longer, short_run.resolved)
    assert RunDirectory(run).read_status()["state"] == "finished"
    assert state_of(run) == "interrupted"
    assert load_run(run).status["state"] == "interrupted"
    gone_on = resume(run, progress=False)
    assert gone_on.checkpoints == [0, 640, 1280, 1920, 2560]
    assert gone_on.status == {"state": "finished", "sequences_seen": 2560, "message": ""}
    whole = train(longer, tmp_path / "whole", progress=False)
    assert same_weights(gone_on.weights(), whole.weights())


def test_a_run_cannot_be_cut_nor_a_cosine_schedule_be_made_longer(short_config, tmp_path):
    run = train(short_config, tmp_path / "run", progress=False)
    with pytest.raises(ConfigError, match="cannot be cut to 640: take an earlier checkpoint"):
        resume(run.path, n_sequences=640)
    cosine = short_config.replace(optimizer={"schedule": "cosine"})
    ends = train(cosine, tmp_path / "cosine", progress=False)
    with pytest.raises(ConfigError, match="cosine"):
        resume(ends.path, n_sequences=2 * cosine.n_sequences)
    assert load_run(ends.path).config == cosine
    assert load_run(ends.path).status["state"] == "finished"


def test_clamps_of_a_run_are_saved_and_resumed(short_config, tmp_path):
    clamps = (AblateHeads([(0, 0), (1, 3)]),)
    run = train(short_config.replace(clamps=clamps), tmp_path / "run", progress=False)
    assert load_run(run.path).config.clamps == clamps
    moved = run.weights("last")["blocks.1.attn.W_V"] != run.weights("first")["blocks.1.attn.W_V"]
    assert not moved[3].any()
    assert moved[2].any()


def test_start_from_a_checkpoint(short_run, short_config, tmp_path):
    start = short_run.checkpoint_path(1280)
    run = train(short_config.replace(start_from=str(start)), tmp_path / "run", progress=False)
    assert same_weights(run.weights("first"), short_run.weights(1280))


def test_nan_loss_stops_the_run_and_keeps_the_last_good_checkpoint(short_config, tmp_path):
    config = short_config.with_overrides(DIVERGING)
    with pytest.raises(NonFiniteLossError, match=r"at step \d+ \(\d+ sequences seen\)") as caught:
        train(config, tmp_path / "run", progress=False)
    run = load_run(tmp_path / "run")
    assert run.status["state"] == "failed"
    assert run.status["message"] == str(caught.value)
    assert str(run.checkpoint_path("last")) in str(caught.value)
    assert all(torch.isfinite(weight).all() for weight in run.weights("last").values())


def fail_at_step(n_steps: int, spoil, monkeypatch) -> None:
    """Calls `spoil(step)` once the n-th step is done."""
    take = TrainingStep.__call__

    def take_then_spoil(self, batch):
        loss = take(self, batch)
        if self.state.steps_done == n_steps:
            spoil(self)
        return loss

    monkeypatch.setattr(TrainingStep, "__call__", take_then_spoil)


@pytest.mark.parametrize("kind", ["parameters", "second_moments"])
def test_weights_that_are_not_finite_are_never_saved(
    kind, short_run, short_config, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    monkeypatch.setattr(run_record, "SECONDS_BETWEEN_RESUME_SAVES", -1.0)  # at every moment
    with monkeypatch.context() as patch:
        # The loss of the step before is finite, and so would be what is saved as the latest.
        fail_at_step(40, lambda s: s.state.buffers()[f"packed.{kind}"][:1].fill_(math.nan), patch)
        with pytest.raises(
            NonFiniteLossError, match=r"\S+ is not finite at step 40 \(1280"
        ) as told:
            train(short_config, out, progress=False)
        assert load_run(out).status == {
            "state": "failed",
            "sequences_seen": 640,
            "message": str(told.value),
        }
        saved = (out / "resume.safetensors").read_bytes()
        with pytest.raises(NonFiniteLossError, match=re.escape(str(told.value))):
            resume(out, progress=False)
        assert (out / "resume.safetensors").read_bytes() == saved
    run = resume(out, progress=False)
    assert same_weights(run.weights(), short_run.weights())
    pd.testing.assert_frame_equal(run.metrics, short_run.metrics, check_exact=True)


def test_a_save_that_is_not_finite_is_refused(short_run, tmp_path):
    run = Path(shutil.copytree(short_run.path, tmp_path / "run"))
    directory = RunDirectory(run)
    tensors, metadata = read_tensors(directory.resume_path)
    tensors["packed.first_moments"][-1] = math.inf
    write_tensor_file(directory.resume_path, tensors, metadata)
    directory.write_status("failed", 1920)
    before = contents(run)
    not_finite = (
        r"resume\.safetensors is damaged \(packed\.first_moments holds numbers that are not f"
    )
    with pytest.raises(RunError, match=not_finite):
        resume(run, progress=False)
    assert contents(run) == before


def test_an_unforeseen_error_in_the_loop_is_noted_as_a_failure(
    short_run, short_config, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        fail_at_step(7, lambda _: 1 // 0, patch)
        with pytest.raises(ZeroDivisionError):
            train(short_config, out, progress=False)
    status = load_run(out).status
    assert (status["state"], status["sequences_seen"]) == ("failed", 0)
    assert status["message"].startswith("ZeroDivisionError: ")
    assert same_weights(resume(out, progress=False).weights(), short_run.weights())


def test_what_was_done_at_the_start_is_not_done_again(
    short_run, short_config, tmp_path, monkeypatch
):
    """However long the first evaluation took: the save after it may be at step 0."""
    out = tmp_path / "run"
    monkeypatch.setattr(run_record, "SECONDS_BETWEEN_RESUME_SAVES", -1.0)
    with monkeypatch.context() as patch:
        fail_at_step(1, lambda _: 1 // 0, patch)
        with pytest.raises(ZeroDivisionError):
            train(short_config, out, progress=False)
    _, metadata = read_tensors(out / "resume.safetensors")
    assert metadata["steps_done"] == "0"
    run = resume(out, progress=False)
    pd.testing.assert_frame_equal(run.metrics, short_run.metrics, check_exact=True)


def test_a_save_from_before_moments_were_noted_goes_on(short_run, short_config, tmp_path):
    run = Path(shutil.copytree(short_run.path, tmp_path / "run"))
    directory = RunDirectory(run)
    tensors, metadata = read_tensors(directory.resume_path)
    del metadata["last_moment"]
    directory.write_tensors(directory.resume_path, tensors, metadata)
    directory.write_status("running", 1920)
    gone_on = resume(run, progress=False)
    pd.testing.assert_frame_equal(gone_on.metrics, short_run.metrics, check_exact=True)
    assert gone_on.status["state"] == "finished"


def test_a_save_after_the_end_of_the_config_is_refused(short_run, short_config, tmp_path):
    run = Path(shutil.copytree(short_run.path, tmp_path / "run"))
    RunDirectory(run).write_config(short_config.replace(n_sequences=640), short_run.resolved)
    RunDirectory(run).write_status("interrupted", 640)
    with pytest.raises(RunError, match=r"saved after 1920 sequences, but config\.json ends .* 640"):
        resume(run, progress=False)


def test_a_save_of_another_run_is_refused(short_run, tmp_path):
    run = Path(shutil.copytree(short_run.path, tmp_path / "run"))
    tensors, metadata = read_tensors(RunDirectory(run).resume_path)
    tensors["packed.parameters"] = tensors["packed.parameters"][1:]
    RunDirectory(run).write_tensors(RunDirectory(run).resume_path, tensors, metadata)
    RunDirectory(run).write_status("interrupted", 640)
    with pytest.raises(RunError, match=r"resume\.safetensors is not a save of this run"):
        resume(run, progress=False)


def test_a_run_without_its_config_is_not_written_over(short_run, short_config, tmp_path):
    run = Path(shutil.copytree(short_run.path, tmp_path / "run"))
    (run / "config.json").unlink()
    with pytest.raises(RunError, match=r"holds a run without its config\.json"):
        train(short_config, run, progress=False)


def test_evaluators_that_do_not_fit_are_told_before_anything_is_written(short_config, tmp_path):
    out = tmp_path / "run"
    (first, *_) = short_config.evaluators
    other = replace(first, name="longer", sequences=replace(first.sequences, n_pairs=3))
    with pytest.raises(ConfigError, match=r"evaluator 'longer' has sequences of 3 pairs"):
        train(short_config.replace(evaluators=(first, other)), out, progress=False)
    with pytest.raises(ConfigError, match="evaluators"):
        train(short_config.replace(evaluators=()), out, progress=False)
    assert not (out / "config.json").exists()
    assert not (out / "status.json").exists()


def test_weights_to_start_from_that_are_not_finite_are_told(short_run, short_config, tmp_path):
    weights = short_run.weights()
    weights["blocks.1.attn.W_V"][0] = math.nan
    start = tmp_path / "start.safetensors"
    write_tensor_file(start, weights, {})
    config = short_config.replace(start_from=str(start))
    told = r"start\.safetensors is damaged \(blocks\.1\.attn\.W_V holds numbers that are not finite"
    with pytest.raises(RunError, match=told):
        train(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "config.json").exists()


def test_after_a_nan_loss_the_good_save_is_gone_on_from_and_fails_the_same(short_config, tmp_path):
    config = short_config.with_overrides(DIVERGING)
    with pytest.raises(NonFiniteLossError) as first:
        train(config, tmp_path / "run", progress=False)
    with pytest.raises(NonFiniteLossError) as second:
        resume(tmp_path / "run", progress=False)
    assert str(second.value) == str(first.value)
    assert load_run(tmp_path / "run").status["message"] == str(first.value)


def test_a_directory_with_a_run_is_refused(short_run, short_config):
    with pytest.raises(RunError, match=r"holds a run already: .* --resume"):
        train(short_config, short_run.path, progress=False)


def _hold(path: Path, ready) -> None:
    with RunDirectory(path):
        ready.set()
        time.sleep(60)


def test_a_directory_in_use_is_refused_until_its_process_dies(short_config, tmp_path):
    ready = processes.Event()
    holder = processes.Process(target=_hold, args=(tmp_path / "run", ready))
    holder.start()
    try:
        assert ready.wait(20)
        with pytest.raises(RunError, match="in use by another process"):
            train(short_config, tmp_path / "run", progress=False)
    finally:
        holder.kill()
        holder.join()
    train(short_config.replace(n_sequences=64), tmp_path / "run", progress=False)


def _train_with_little_space(config, out: Path, n_bytes: int, result) -> None:
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
    try:
        train(config, out, progress=False)
    except RunError as error:
        result.put(str(error))
    else:
        result.put("no error")


def test_no_space_left_is_told_and_the_run_resumes(short_config, tmp_path):
    out = tmp_path / "run"
    train_module_limit = 150_000  # configs and metrics fit, a checkpoint or resume file does not
    result = processes.Queue()
    process = processes.Process(
        target=_train_with_little_space, args=(short_config, out, train_module_limit, result)
    )
    process.start()
    message = result.get(timeout=120)
    process.join()
    assert "space" in message
    assert "writing" in message or "cannot write" in message
    assert not list(out.rglob("*.unfinished"))
    assert same_weights(
        resume(out, progress=False).weights(),
        train(short_config, tmp_path / "undisturbed", progress=False).weights(),
    )


def test_no_space_is_recognised_by_its_error_number(tmp_path, monkeypatch):
    directory = RunDirectory(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"no space left while writing .*metrics\.csv"):
        directory.write_metrics(pd.DataFrame({"a": [1]}))
    assert not directory.metrics_path.exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("classes.n_train=500", "500"),
        ("classes.n_train_exemplars=9", "9"),
        ("features.within_class_sd=-1", "within_class_sd"),
        ("device=cuda", "no GPU"),
        ("start_from=nowhere.safetensors", "there is no checkpoint nowhere.safetensors"),
    ],
)
def test_bad_input_is_told_before_training(short_config, tmp_path, override, message):
    if override == "device=cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises((ValueError, RunError), match=message):
        train(short_config.with_overrides([override]), tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_missing_feature_file_is_named(short_config, tmp_path):
    config = short_config.replace(features=FeatureFile(path=str(tmp_path / "none.h5")))
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        train(config, tmp_path / "run", progress=False)


def test_other_features_on_resuming_are_refused(short_config, tmp_path):
    file = tmp_path / "features.safetensors"
    source = GaussianFeatures(n_classes=70, n_exemplars=5, d_feature=16)
    save_feature_file(source.load(), file)
    config = short_config.replace(features=FeatureFile(path=str(file)))
    run = train(config, tmp_path / "run", progress=False)
    (run.path / "status.json").unlink()
    file.unlink()
    save_feature_file(GaussianFeatures(70, 5, 16, seed=1).load(), file)
    with pytest.raises(RunError, match="not those it was begun with"):
        resume(run.path, progress=False)


def test_a_truncated_checkpoint_is_named(short_run, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(short_run.checkpoint_path("last").read_bytes()[:5000])
    with pytest.raises(RunError, match=r"damaged.safetensors is truncated"):
        load_weights(short_run.model(), damaged)


def test_a_missing_checkpoint_names_the_nearest(short_run):
    with pytest.raises(RunError, match="no checkpoint at 700 sequences; the nearest is at 640"):
        short_run.model(700)


def test_weights_of_another_shape_name_the_first_that_differs(short_run):
    other = ModelConfig(n_heads=4, d_model=32).build(17, 64, 2)
    with pytest.raises(RunError, match=r"exemplar_embed.W is \[16, 32\] in .* but \[17, 32\]"):
        load_weights(other, short_run.checkpoint_path("last"))


def test_no_run_is_told_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(RunError, match=r"holds no run .*coopetition-interp train"):
        load_run(tmp_path)
    with pytest.raises(RunError, match="holds no run to resume"):
        resume(tmp_path / "none")


def test_unreadable_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match=r"config.json cannot be read as JSON"):
        load_run(tmp_path)


def test_cuda_or_cpu_is_chosen_by_what_is_there():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert train_module.choose_device("auto").type == expected


def test_without_a_compiler_training_goes_on_with_a_warning(short_config, tmp_path, monkeypatch):
    def no_compiler(*_: object, **__: object):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", no_compiler)
    monkeypatch.setattr("torch._inductor.standalone_compile", no_compiler, raising=False)
    config = short_config.replace(compile="yes", n_sequences=320)
    with pytest.warns(RuntimeWarning, match="runs several times slower"):
        run = train(config, tmp_path / "run", progress=False)
    assert run.status["state"] == "finished"


def test_presets_that_need_no_file_build(tmp_path):
    config = preset("tiny")
    with pytest.raises(ConfigError):
        config.with_overrides(["n_sequences=-3"])
