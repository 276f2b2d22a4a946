"""`--import`: runs of tasks and clamps of one's own, from the command line."""

import re
import shlex
import sys

import pytest
from own_task import FirstTokenConfig

from coopetition_interp.command_line import main
from coopetition_interp.training import RunConfig, Schedule, load_run, train

SHORT = ["n_sequences=320", 'evaluate_at={"every": 320}', 'checkpoint_at={"every": 320}']

CLAMP = """
from dataclasses import dataclass
import coopetition_interp as ci

@dataclass(frozen=True)
class ShrinkValues(ci.Clamp):
    by: float = 0.5

    def edits(self, batch):
        yield "blocks.0.attn.hook_v", lambda values: self.by * values
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's folder, with a module in it, that Python finds nowhere else."""
    folder = tmp_path / "a user's"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return folder


def test_a_run_of_an_own_task_is_evaluated_thinned_and_resumed(folder, monkeypatch, capsys):
    config = FirstTokenConfig(
        n_sequences=64,
        n_threads=1,
        evaluate_at=Schedule(every=64),
        checkpoint_at=Schedule(every=64),
    )
    out = str(train(config, folder / "run", progress=False).path)
    monkeypatch.delitem(RunConfig.classes_of_tasks, "first_token")
    monkeypatch.delitem(sys.modules, "own_task")

    assert main(["evaluate", out]) == 2
    assert "add `--import own_task`" in capsys.readouterr().err
    assert main(["evaluate", out, "--import", "own_task"]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert main(["thin", out, "--out", "thin", "--at", "64", "--import", "own_task"]) == 0
    capsys.readouterr()
    words = ["train", "--resume", out, "--until", "128", "--quiet", "--import", "own_task"]
    assert main(words) == 0
    advised = shlex.join([out, "--import", "own_task"])
    assert f"`coopetition-interp evaluate {advised} --at all`" in capsys.readouterr().out
    assert load_run(out).checkpoints == [0, 64, 128]


def test_an_own_clamp_is_typed_and_its_run_gone_on_with(folder, capsys):
    (folder / "their_clamps.py").write_text(CLAMP)
    words = ["train", "tiny", "--out", "run", "--quiet", "--clamp", "ShrinkValues(0.25)", *SHORT]
    assert main(words) == 2
    assert "import the module that defines it (on the command line by" in capsys.readouterr().err
    assert main([*words, "--import", "their_clamps"]) == 0
    assert str(load_run("run").config.clamps[0]) == "ShrinkValues(by=0.25)"
    assert main(words[:5]) == 2
    resumed_by = "`coopetition-interp train --resume run --import their_clamps`"
    assert resumed_by in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "content", "message"),
    [
        ("not_there", "", r"no module not_there in .*, nor installed"),
        ("here.not_there", "", r"no module here.not_there in"),
        ("here", "1 / 0", "it cannot be imported: ZeroDivisionError: division by zero"),
        ("here", "import not_installed", "cannot be imported: ModuleNotFoundError"),
        ("here", "raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("here.py", "print('imported')", r"takes a module's name as in `import my_task`, no file"),
        ("./here", "print('imported')", r"takes a module's name"),
    ],
)
def test_what_cannot_be_imported_is_told_in_one_line(
    module, content, message, folder, monkeypatch, capsys
):
    (folder / "here.py").write_text(content)
    monkeypatch.delitem(sys.modules, "here", raising=False)
    assert main(["evaluate", "run", "--import", module]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert re.search(message, told.err)
    assert "imported" not in told.out
