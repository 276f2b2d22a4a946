"""`coopetition-interp figures`: one page of every figure, from small studies."""

from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from small_coopetition import changed, packed_small_coopetition

from coopetition_interp.command_line import main
from coopetition_interp.figures import every_figure

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"

# Enough of each kind: of curves, of tables, of what is drawn on real features too.
COOPETITION = ("fig01b_transience", "fig06_matched", "fig08_positions", "figC_1_embedding")
ON_REAL_FEATURES = ("fig01b_transience", "figC_1_embedding")
INDUCTION_HEADS = ("ih_fig4_5_heads",)
TOY = "fig05a_toy_coopetition"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return packed_small_coopetition(tmp_path_factory.getbasetemp())


@pytest.fixture(autouse=True)
def few_figures(monkeypatch):
    for studies, names in (("COOPETITION", COOPETITION), ("INDUCTION_HEADS", INDUCTION_HEADS)):
        whole = getattr(every_figure, studies)
        monkeypatch.setattr(every_figure, studies, {name: whole[name] for name in names})
    monkeypatch.setattr(every_figure, "ON_REAL_FEATURES", ON_REAL_FEATURES)
    toy = partial(every_figure.TOY_FIGURES[TOY], steps=200)
    monkeypatch.setattr(every_figure, "TOY_FIGURES", {TOY: toy})


def expect_files(folder, names):
    assert (folder / "index.html").is_file()
    for name in names:
        numbers = pd.read_csv(folder / f"{name}_numbers.csv")
        assert list(numbers.columns) == ["quantity", "paper", "ours"]
    assert not list(folder.glob("*.png"))


def test_everything_is_drawn_from_what_the_repository_keeps(packed, tmp_path, monkeypatch, capsys):
    kept = tmp_path / "checkpoints"
    kept.mkdir()
    for name in ("coopetition", "coopetition-omniglot"):
        (kept / name).symlink_to(packed.path)
    (kept / "induction-heads").symlink_to(CHECKPOINTS / "induction-heads")
    monkeypatch.chdir(tmp_path)
    assert main(["figures", "--out", "page"]) == 0
    assert f"wrote {Path('page') / 'index.html'}" in capsys.readouterr().out
    names = [*COOPETITION, TOY, *(f"real_{name}" for name in ON_REAL_FEATURES), *INDUCTION_HEADS]
    expect_files(tmp_path / "page", names)
    text = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert text.count('<div class="figure"') == len(names)
    assert "Figure 1b: transience of in-context learning, on real features" in text


def test_of_given_runs_only_those_named_are_drawn(packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["figures", "--out", "page", "--runs", str(packed.path)]) == 0
    expect_files(tmp_path / "page", [*COOPETITION, TOY])
    assert not list((tmp_path / "page").glob("real_*"))
    assert not list((tmp_path / "page").glob("ih_*"))


def test_a_missing_run_is_told_and_the_rest_is_drawn(packed, tmp_path, capsys):
    less = changed(packed, tmp_path / "less", without="matched")
    assert main(["figures", "--out", str(tmp_path / "page"), "--runs", str(less.path)]) == 2
    output = capsys.readouterr()
    assert "1 figures were not drawn: fig06_matched" in output.err
    assert "fig06_matched: Figure 6 needs runs that are not finished" in output.out
    assert "`coopetition-interp sweep coopetition --out DIR --workers 2`" in output.out
    expect_files(tmp_path / "page", [name for name in (*COOPETITION, TOY) if "06" not in name])
    assert not list((tmp_path / "page").glob("fig06*"))


def test_what_the_repository_lacks_is_listed_on_its_page(packed, tmp_path, monkeypatch, capsys):
    kept = tmp_path / "checkpoints"
    changed(packed, kept / "coopetition", without="matched")
    (kept / "coopetition-omniglot").symlink_to(packed.path)
    (kept / "induction-heads").symlink_to(CHECKPOINTS / "induction-heads")
    monkeypatch.chdir(tmp_path)
    assert main(["figures", "--out", "page"]) == 0
    assert "1 figures were not drawn" in capsys.readouterr().out
    text = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "<h2>Not drawn</h2>" in text
    assert "<li>fig06_matched: " in text


@pytest.mark.parametrize(
    ("words", "folder"),
    [([], Path("checkpoints") / "coopetition"), (["--runs", "no-such-runs"], "no-such-runs")],
)
def test_a_missing_folder_is_one_clear_error(words, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["figures", "--out", "page", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"coopetition-interp: error: {folder} is not there")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "page").exists()
