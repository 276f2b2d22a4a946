"""The command line: what it prints, what it refuses, and that it does the work."""

import json
from argparse import ArgumentTypeError
from pathlib import Path

import pandas as pd
import pytest

from coopetition_interp.command_line import main
from coopetition_interp.command_line.arguments import whole_number
from coopetition_interp.sweeps import only_named
from coopetition_interp.sweeps.plan_file import read_plan
from coopetition_interp.tasks.exemplar_label import preset
from coopetition_interp.training import load_run, train
from coopetition_interp.training.run_directory import RunDirectory

SHORT = ["n_sequences=640", 'evaluate_at={"every": 640}', 'checkpoint_at={"every": 640}']
PLAN = str(Path(__file__).parents[2] / "analyses" / "coopetition" / "runs.py")
SWEEP = ["sweep", PLAN, "--out", "x"]


def test_train_with_overrides_and_clamps_then_evaluate(tmp_path, capsys):
    out = tmp_path / "run"
    clamp = "AblateHeads(heads=[(0, 1)])"
    # Overrides may stand before and after the options.
    words = ["train", "tiny", SHORT[0], "--out", str(out), "--quiet", "--clamp", clamp, *SHORT[1:]]
    assert main(words) == 0
    run = load_run(out)
    assert run.config.n_sequences == 640
    assert [str(c.heads) for c in run.config.clamps] == ["((0, 1),)"]
    assert run.checkpoints == [0, 640]
    told = capsys.readouterr().out
    assert f"{run.metrics.query('sequences_seen == 640').loss.iloc[0]:.3f}" in told
    assert f"`coopetition-interp evaluate {out} --at all`" in told

    table = tmp_path / "scores.csv"
    assert main(["evaluate", str(out), "--at", "all", "--out", str(table)]) == 0
    scores = pd.read_csv(table)
    assert sorted(scores.sequences_seen.unique()) == [0, 640]
    recorded = run.metrics.query("sequences_seen == 640 and evaluator == 'train'").loss.item()
    again = scores.query("sequences_seen == 640 and evaluator == 'train'").loss.item()
    assert again == pytest.approx(recorded, rel=1e-5)

    assert main(["evaluate", str(out), "--clamp", "AblateHeads(heads=[(1, 0)])"]) == 0
    assert "in_context_accuracy" in capsys.readouterr().out

    assert main(["train", "--resume", str(out), "--quiet"]) == 0
    assert main(["train", "tiny", "--out", str(out), "--quiet"]) == 2
    assert "holds a run already" in capsys.readouterr().err


@pytest.mark.parametrize("until", ["nan", "inf", "1e30", "640.5", "320"])
def test_a_length_that_cannot_be_is_one_line_and_changes_nothing(until, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "tiny", "--out", str(out), "--quiet", *SHORT]) == 0
    before = (out / "config.json").read_bytes(), (out / "status.json").read_bytes()
    assert main(["train", "--resume", str(out), "--until", until]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("coopetition-interp: error: ")
    assert "--until" in error or "n_sequences" in error
    assert "\n" not in error
    assert ((out / "config.json").read_bytes(), (out / "status.json").read_bytes()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "huge", "--out", "x"], "unknown preset 'huge'"),
        (["train", "tiny", "--out", "x", "optimizer.lr=1"], "unknown field optimizer.lr"),
        (["train", "tiny"], "needs a preset and --out"),
        (["train", "--resume", "no-such-run"], "holds no run to resume"),
        (["train", "tiny", "--out", "x", "--clamp", "Ablate(heads=[])"], "Ablate"),
        (["train", "tiny", "--out", "x", "--features", "none.h5"], "none.h5"),
        (["evaluate", "no-such-run"], "holds no run"),
        (["presets", "huge"], "unknown preset"),
        (["sweep", "transience", "--out", "x"], "'transience' is not there: give the file"),
        ([*SWEEP, "--only", "zzz"], "no run's name begins"),
        ([*SWEEP, "--preset", "huge"], "no scale 'huge'"),
        ([*SWEEP, "--workers", "0"], "from 1 to 1,000; got '0'"),
        ([*SWEEP, "--executor-option", "timeout_min=5"], "add --executor local or slurm"),
        (
            [*SWEEP, "--executor", "local", "--executor-option", "colour=red"],
            "'colour' need to be prefixed",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert error.startswith("coopetition-interp: error: ")
    assert not (tmp_path / "x" / "config.json").exists()


def test_a_large_seed_is_not_rounded():
    assert whole_number(0, 2**63)("9007199254740993") == 2**53 + 1
    assert whole_number(0, 10**12)("1.2e6") == 1_200_000
    for wrong in ("1e999999999", "0.5", "inf", "nan", "x", ""):
        with pytest.raises(ArgumentTypeError, match="must be a whole number"):
            whole_number(0, 10**12)(wrong)


def test_sweep_does_what_is_left_and_tells_the_states(tmp_path, capsys):
    out = tmp_path / "sweep"
    words = ["sweep", PLAN, "--preset", "tiny", "--out", str(out)]
    chosen = ["--only", "init-5/icl-only", "--only", "init-5/resumed/moment-1600"]
    assert main([*words, *chosen, "--status"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[:2] for row in rows[1:]] == [
        ["init-5/ciwl-only", "missing"],
        ["init-5/resumed/moment-1600", "missing"],
        ["init-5/icl-only", "missing"],
    ]
    assert not out.exists()

    (planned,) = only_named(read_plan(PLAN, preset_name="tiny"), ["init-5/icl-only"])
    train(planned.resolve({}), out / planned.name, progress=False)
    saved = (out / planned.name / "resume.safetensors").stat().st_mtime_ns
    assert main([*words, "--only", planned.name]) == 0  # there is nothing left to do
    assert (out / planned.name / "resume.safetensors").stat().st_mtime_ns == saved
    capsys.readouterr()
    assert main([*words, *chosen, "--status"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[1:3] for row in rows[1:]] == [
        ["missing", "0"],
        ["missing", "0"],
        ["finished", "6400"],
    ]


def test_a_sweep_with_a_failed_run_ends_with_status_2(tmp_path, capsys):
    with RunDirectory(tmp_path / "init-5" / "main") as directory:
        directory.write_config(preset("tiny").replace(data_seed=9), {})
        directory.write_status("finished", 32_000)
    words = ["sweep", PLAN, "--preset", "tiny", "--out", str(tmp_path), "--only", "init-5/main"]
    assert main(words) == 2
    output = capsys.readouterr()
    assert "init-5/main: failed: " in output.out
    assert "another config than the sweep plans now (in " in output.out
    assert "1 of 1 runs did not finish" in output.err


def test_unknown_options_are_refused(capsys):
    assert main(["presets", "--colour"]) == 2
    assert "unrecognized arguments: --colour" in capsys.readouterr().err


def test_presets_lists_fields_that_can_be_given_back(capsys):
    assert main(["presets"]) == 0
    assert "laptop" in capsys.readouterr().out
    assert main(["presets", "tiny"]) == 0
    fields = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert json.loads(fields["optimizer.learning_rate"]) == 0.003
    assert "sequences.kind" in fields


def test_features_writes_a_file_that_trains(tmp_path, capsys):
    omniglot = pytest.importorskip("coopetition_interp.tasks.exemplar_label.features.omniglot")
    assert omniglot is not None
    assert main(["features", str(tmp_path / "f.h5"), "--root", str(tmp_path / "none")]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "evaluate", "features", "sweep", "presets", "bench"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert len(capsys.readouterr().out) > 200
