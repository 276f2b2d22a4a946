"""A run is gone on with, and measured, only as what it was begun with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from same_weights import same_weights

from coopetition_interp.analysis.checkpoints import evaluate_checkpoints
from coopetition_interp.files.tensor_file import write_tensor_file
from coopetition_interp.interventions import GraftIn
from coopetition_interp.training import RunError, load_run, resume, train, train_together
from coopetition_interp.training.run_directory import RunDirectory
from coopetition_interp.training.same_run import require_same_config


@pytest.fixture(scope="module")
def short_of_its_end(short_config, tmp_path_factory):
    """A run of 1280 of the 1920 sequences."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(short_config.replace(n_sequences=1280), out, progress=False).path


@pytest.fixture
def interrupted(short_of_its_end, tmp_path):
    """A copy, whose config says that it goes on to 1920."""
    run = Path(shutil.copytree(short_of_its_end, tmp_path / "run"))
    content = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**content, "n_sequences": 1920}))
    return run


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c["optimizer"].update(learning_rate=0.5), "optimizer.learning_rate was .* 0.5"),
        (lambda c: c.update(data_seed=77), "data_seed was 2 and is 77"),
        (lambda c: c.update(batch_size=16), "batch_size was 32 and is 16"),
        (lambda c: c["model"].update(init_seed=77), "model.init_seed was 5 and is 77"),
        (lambda c: c["features"].update(seed=77), "features.seed was .* and is 77"),
        (lambda c: c["evaluate_at"].update(every=320), "evaluate_at.every was 640 and is 320"),
        (lambda c: c["evaluators"][0].update(n_sequences=7), "evaluators.0.n_sequences was"),
        (
            lambda c: c.update(clamps=[{"kind": "AblateHeads", "heads": [[0, 0]]}]),
            'clamps.0.kind was left out and is "AblateHeads"',
        ),
    ],
)
def test_a_changed_config_is_not_gone_on_with(change, told, interrupted):
    edit(interrupted / "config.json", change)
    before = RunDirectory(interrupted).resume_path.read_bytes()
    with pytest.raises(RunError, match=rf"under another config: {told}.* in config.json. Put it"):
        resume(interrupted, progress=False)
    assert RunDirectory(interrupted).resume_path.read_bytes() == before


def test_a_run_of_a_group_with_a_changed_config_is_not_gone_on_with(interrupted):
    edit(interrupted / "config.json", lambda c: c.update(data_seed=77))
    with pytest.raises(RunError, match="data_seed was 2 and is 77"):
        train_together([load_run(interrupted).config], [interrupted], progress=False)


def test_what_decides_no_weight_makes_no_other_run(interrupted, short_run):
    changed = {"name": "mine", "device": "cpu", "n_threads": 3, "compile": "no"}
    edit(interrupted / "config.json", lambda c: c.update(changed))
    assert same_weights(resume(interrupted, progress=False).weights(), short_run.weights())


MINE = {"kind": "Mine", "module": "__main__", "path": "QK"}
GRAFT = {"kind": "GraftIn", "module": "coopetition_interp.interventions.grafts", "layer": 0}


def evaluators_weighted_by(path):
    return {"evaluators": [{"name": "iwl", "sequences": {"class_weights": {"path": path}}}]}


LATER = {"kind": "During", "module": "coopetition_interp.interventions.during", "start": 32}


@pytest.mark.parametrize(
    ("saved", "now", "told"),
    [
        ({"features": {"path": "/a/x.h5"}}, {"features": {"path": "/b/x.h5"}}, ""),
        ({"features": {"root": "/a"}}, {"features": {"root": "/b"}}, ""),
        ({"sequences": {"class_weights": {"path": "a"}}}, {"sequences": {}}, ""),
        (evaluators_weighted_by("a"), evaluators_weighted_by("b"), ""),
        ({"clamps": [MINE]}, {"clamps": [{**MINE, "module": "mine"}]}, ""),
        ({"clamps": [MINE]}, {"clamps": [{**MINE, "path": "OV"}]}, 'clamps.0.path was "QK"'),
        (
            {"clamps": [{**LATER, "clamp": {**GRAFT, "checkpoint": "a"}}]},
            {"clamps": [{**LATER, "clamp": {**GRAFT, "checkpoint": "b"}}]},
            "",
        ),
        ({"clamps": [GRAFT]}, {"clamps": [{**GRAFT, "layer": 1}]}, "clamps.0.layer was 0 and is 1"),
        ({"model": {"path": "a"}}, {"model": {"path": "b"}}, 'model.path was "a" and is "b"'),
    ],
)
def test_a_run_may_be_moved_and_not_changed(saved, now, told):
    if not told:
        require_same_config(saved, now, Path("save"))
    else:
        with pytest.raises(RunError, match=told):
            require_same_config(saved, now, Path("save"))


def test_metrics_that_lack_an_evaluation_are_not_gone_on_with(interrupted):
    path = interrupted / "metrics.csv"
    table = pd.read_csv(path)
    table[table.sequences_seen != 640].to_csv(path, index=False)
    with pytest.raises(RunError, match=r"has 2 of the 3 evaluations .*: put back a copy of it"):
        resume(interrupted, progress=False)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("by", ["clamps", "start_from"])
def test_weights_that_were_written_over_are_not_gone_on_with(
    by, together, short_config, short_run, tmp_path
):
    file = Path(shutil.copy(short_run.checkpoint_path(640), tmp_path / "donor.safetensors"))
    how = {"clamps": (GraftIn(file, 0),)} if by == "clamps" else {"start_from": str(file)}
    config = short_config.replace(**how)
    run = train(config.replace(n_sequences=1280), tmp_path / "run", progress=False).path
    edit(run / "config.json", lambda c: c.update(n_sequences=1920))
    weights = {name: w.clone() for name, w in load_run(short_run.path).weights(640).items()}
    weights["blocks.0.attn.W_V"] += 1
    write_tensor_file(file, weights, {})

    def go_on():
        if together:
            train_together([config], [run], progress=False)
        else:
            resume(run, progress=False)

    with pytest.raises(
        RunError, match="not those that the run tiny was begun with: put back the orig"
    ):
        go_on()
    elsewhere = Path(shutil.copy(short_run.checkpoint_path(640), tmp_path / "other.safetensors"))
    if not together:  # the same weights, moved
        text = (run / "config.json").read_text()
        (run / "config.json").write_text(text.replace(str(file), str(elsewhere)))
        whole = train(config.replace(**_at(how, elsewhere)), tmp_path / "whole", progress=False)
        assert same_weights(resume(run, progress=False).weights(), whole.weights())


def _at(how, file):
    return {"clamps": (GraftIn(file, 0),)} if "clamps" in how else {"start_from": str(file)}


@pytest.mark.parametrize("left", ["checkpoints", "metrics.csv", "resume.safetensors"])
def test_what_is_left_of_another_run_is_not_mixed_with_a_new_one(
    left, short_run, short_config, tmp_path
):
    run = tmp_path / "run"
    run.mkdir()
    if left == "checkpoints":
        shutil.copytree(short_run.path / left, run / left)
    else:
        shutil.copy(short_run.path / left, run / left)
    kept = sorted(path for path in run.rglob("*") if path.suffix != ".lock")
    with pytest.raises(RunError, match=r"holds a run without its config\.json"):
        train(short_config, run, progress=False)
    with pytest.raises(RunError, match=r"holds a run without its config\.json"):
        train_together([short_config], [run], progress=False)
    assert sorted(path for path in run.rglob("*") if path.suffix != ".lock") == kept


def test_a_run_is_not_measured_on_other_features(short_run, tmp_path):
    run = Path(shutil.copytree(short_run.path, tmp_path / "run"))
    edit(run / "config.json", lambda c: c["features"].update(seed=77))
    with pytest.raises(RunError, match=r"features \(.*\) have changed since .* was begun with"):
        evaluate_checkpoints(load_run(run))
