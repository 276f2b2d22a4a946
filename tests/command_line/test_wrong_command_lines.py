"""Every wrong command line: status 2, one line of sane length, and nothing written."""

import os
from pathlib import Path

import pytest

from coopetition_interp.command_line import main

TRAIN = ["train", "tiny", "--quiet", "--out", "x"]
PLAN = str(Path(__file__).parents[2] / "analyses" / "coopetition" / "runs.py")
SWEEP = ["sweep", PLAN, "--preset", "tiny", "--out", "x"]
NEW_LINE = "two\nlines"
DEEP = "[" * 100_000
DIGITS = "9" * 10_000
EVALUATOR = '[{"name": "more", "sequences": {"n_pairs": 4}}]'

# In these, RUN is a finished run, FILE an empty file and FOLDER an empty folder.
WRONG = [
    # words
    [],
    ["tiny"],
    ["trian", "tiny"],
    ["--colour"],
    ["presets", "huge"],
    ["presets", "tiny", "laptop"],
    ["presets", "--colour"],
    ["presets", ""],
    ["presets", "\udcff"],
    ["presets", DIGITS],
    # train
    ["train"],
    ["train", "tiny"],
    ["train", "--out", "x"],
    ["train", "huge", "--out", "x"],
    ["train", NEW_LINE, "--out", "x"],
    ["train", "n_sequences=640", "--out", "x"],
    [*TRAIN, "clamps=[]", "--clamp", "AblateHeads([(0, 0)])"],
    [*TRAIN, "features=null", "--features", "FILE"],
    ["train", "tiny", "tiny", "--out", "x"],
    ["train", "tiny", "--out"],
    ["train", "tiny", "--out", ""],
    ["train", "tiny", "--out", " "],
    ["train", "tiny", "--out="],
    ["train", "tiny", "--out", "FILE"],
    ["train", "tiny", "--out", "FILE/run"],
    ["train", "tiny", "--out", "y" * 300],
    ["train", "tiny", "--out", "x/\udcff"],
    ["train", "tiny", "--out", "x\0y"],
    ["train", "tiny", "--out", "RUN"],
    ["train", "--resume", "FOLDER"],
    ["train", "--resume", "FILE"],
    ["train", "--resume", ""],
    ["train", "--resume", "no-such-run"],
    ["train", "--resume", "RUN", "tiny"],
    ["train", "--resume", "RUN", "--quiet", "n_sequences=6400"],
    ["train", "--resume", "RUN", "--out", "x"],
    ["train", "--resume", "RUN", "--until", "nan"],
    ["train", "--resume", "RUN", "--until", "inf"],
    ["train", "--resume", "RUN", "--until", "-5"],
    ["train", "--resume", "RUN", "--until", "1.5"],
    ["train", "--resume", "RUN", "--until", "1e13"],
    ["train", "--resume", "RUN", "--until", "soon"],
    ["train", "--resume", "RUN", "--until", "32"],
    [*TRAIN, "--until", "640"],
    [*TRAIN, "--features", "none.h5"],
    [*TRAIN, "--features", "FOLDER"],
    [*TRAIN, "--features", "FILE"],
    [*TRAIN, "--features", ""],
    [*TRAIN, "--clamp", "Ablate(heads=[])"],
    [*TRAIN, "--clamp", "AblateHeads(heads=[(9, 9)])"],
    [*TRAIN, "--clamp", ""],
    [*TRAIN, "--wandb", ""],
    # overrides
    [*TRAIN, "n_seqs=5"],
    [*TRAIN, "y" * 5000 + "=5"],
    [*TRAIN, "n_sequences"],
    [*TRAIN, "=5"],
    [*TRAIN, "n_sequences="],
    [*TRAIN, "n_sequences=1e13"],
    [*TRAIN, "n_sequences=NaN"],
    [*TRAIN, "n_sequences=1e400"],
    [*TRAIN, "n_sequences=" + DIGITS],
    [*TRAIN, "n_sequences=" + DEEP],
    [*TRAIN, "n_sequences=" + DEEP + "]" * 100_000],
    [*TRAIN, "n_sequences=[" + "1," * 5000 + "1]"],
    [*TRAIN, "n_sequences=16"],
    [*TRAIN, "batch_size.x=1"],
    [*TRAIN, "evaluators.train=1"],
    [*TRAIN, "evaluators=[]"],
    [*TRAIN, "evaluators=3"],
    [*TRAIN, "evaluators=" + EVALUATOR],
    [*TRAIN, "model.d_model=1e30"],
    [*TRAIN, "model.d_model=1e5", "model.d_head=1e4"],
    [*TRAIN, "model.n_layers=two"],
    [*TRAIN, "model=3"],
    [*TRAIN, "model={}}"],
    [*TRAIN, 'model={"d_models": 5}'],
    [*TRAIN, "optimizer.learning_rate=Infinity"],
    [*TRAIN, "optimizer.learning_rate=1e6"],
    [*TRAIN, "optimizer.eps=0"],
    [*TRAIN, "optimizer.eps=-1"],
    [*TRAIN, "optimizer.eps=1e400"],
    [*TRAIN, "optimizer.l2=NaN"],
    [*TRAIN, "optimizer.l2=1", "optimizer.l2_on=[]"],
    [*TRAIN, "optimizer.l2=1", 'optimizer.l2_on=["mlp"]'],
    [*TRAIN, "optimizer.warmup_steps=1e30"],
    [*TRAIN, "optimizer.warmup_steps=1001"],
    [*TRAIN, "sequences.n_pairs=1000", "batch_size=32000"],
    [*TRAIN, "sequences.kind=bursts"],
    [*TRAIN, "features.kind=imagenet"],
    [*TRAIN, "features.n_classes=1e9"],
    [*TRAIN, "features.within_class_sd=1e200"],
    [*TRAIN, 'features={"kind": "one_hot"}'],
    [*TRAIN, 'features={"kind": "feature_file", "path": ""}'],
    [*TRAIN, 'features={"kind": "feature_file", "path": "\\ud800"}'],
    [*TRAIN, "classes.n_train=1000"],
    [*TRAIN, "start_from=none.safetensors"],
    [*TRAIN, "start_from=FOLDER"],
    [*TRAIN, "start_from=FILE"],
    [*TRAIN, 'name=""'],
    [*TRAIN, 'clamps=[{"kind": "Nothing"}]'],
    [*TRAIN, "n_threads=1e6"],
    [*TRAIN, 'evaluate_at={"every": -1}'],
    [*TRAIN, 'checkpoint_at={"at": [1e20]}'],
    # evaluate, thin
    ["evaluate"],
    ["evaluate", ""],
    ["evaluate", "FOLDER"],
    ["evaluate", "FILE"],
    ["evaluate", "RUN", "--at", "inf"],
    ["evaluate", "RUN", "--at", "nan"],
    ["evaluate", "RUN", "--at", "-1"],
    ["evaluate", "RUN", "--at", "0.5"],
    ["evaluate", "RUN", "--at", "middle"],
    ["evaluate", "RUN", "--at", "641"],
    ["evaluate", "RUN", "--out", "FOLDER"],
    ["evaluate", "RUN", "--out", ""],
    ["evaluate", "RUN", "n_sequences=5"],
    ["thin", "RUN"],
    ["thin", "RUN", "--out", ""],
    ["thin", "RUN", "--out", "RUN", "--at", "640"],
    ["thin", "RUN", "--out", "FILE"],
    ["thin", "RUN", "--out", "a/b/c", "--at", "7"],
    ["thin", "RUN", "--out", "x", "--at", "inf"],
    ["thin", "FOLDER", "--out", "x"],
    # sweep, figures, features, bench
    ["sweep", PLAN],
    ["sweep", "cooperation", "--out", "x"],
    ["sweep", DIGITS, "--out", "x"],
    ["sweep", "FOLDER", "--out", "x"],
    ["sweep", "FILE", "--out", "x"],
    ["sweep", PLAN, "--out", "x", "--preset", "huge"],
    ["sweep", PLAN, "--out", "x", "--preset", ""],
    [*SWEEP, "--workers", "nan"],
    [*SWEEP, "--workers", "inf"],
    [*SWEEP, "--workers", "-1"],
    [*SWEEP, "--workers", "0.5"],
    [*SWEEP, "--workers", DIGITS],
    [*SWEEP, "--only", "zzz"],
    [*SWEEP, "--only", ""],
    [*SWEEP, "--features", "none.h5"],
    [*SWEEP, "--features", "FILE"],
    [*SWEEP, "--features", "FOLDER"],
    [*SWEEP, "--executor", "cloud"],
    [*SWEEP, "--executor-option", "timeout_min=5"],
    [*SWEEP, "--executor", "local", "--executor-option", "timeout_min"],
    ["sweep", PLAN, "--out", "FILE"],
    ["figures"],
    ["figures", "--out", ""],
    ["figures", "--out", "FILE"],
    ["figures", "--out", "x"],
    ["figures", "--out", "x", "--runs", "FOLDER"],
    ["figures", "--out", "x", "--runs", "coopetition=no-such-runs"],
    ["figures", "--out", "x", "--runs", "=FOLDER"],
    ["figures", "--out", "x", "--study", "none"],
    ["figures", "--out", "x", "--study", "FOLDER"],
    ["pack", PLAN, "--out", "x"],
    ["pack", PLAN, "--runs", "none", "--out", "x"],
    ["pack", PLAN, "--runs", "FOLDER", "--preset", "huge", "--out", "x"],
    ["features", "x.h5", "--root", "none"],
    ["features", "x.txt", "--root", "none"],
    ["features", "FOLDER"],
    ["features", "x.h5", "--encoder", "resnet19"],
    ["features", "x.h5", "--image-size", "0"],
    ["features", "x.h5", "--image-size", "1e30"],
    ["bench", "--rounds", "0"],
    ["bench", "--only", "everything"],
]


@pytest.fixture(scope="module")
def workplace(short_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "RUN").symlink_to(short_run.path)
    (folder / "FILE").touch()
    (folder / "FOLDER").mkdir()
    return folder


def files_of(folder):
    return {
        path: path.stat().st_mtime_ns
        for path in (*folder.rglob("*"), *(folder / "RUN").resolve().rglob("*"))
        if path.name != "in_use.lock"
    }


@pytest.mark.parametrize("words", WRONG, ids=range(len(WRONG)))
def test_a_wrong_command_line_is_one_line_and_writes_nothing(words, workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    before = files_of(workplace)
    assert main(words) == 2
    output = capsys.readouterr()
    assert output.err.startswith("coopetition-interp: error: ")
    assert len(output.err.splitlines()) == 1
    assert 40 < len(output.err) < 600
    assert "Traceback" not in output.err
    assert output.out == ""
    assert files_of(workplace) == before
    assert sorted(os.listdir(workplace)) == ["FILE", "FOLDER", "RUN"]
