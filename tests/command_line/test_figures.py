"""`coopetition-interp figures` and `pack`, on a study with made-up curves."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from made_up_study import made_up_study

from coopetition_interp.command_line import main

COOPETITION = Path(__file__).parents[2] / "analyses" / "coopetition"
DRAWN = ("fig01b_transience", "figC_1_embedding")
NOT_DRAWN = "fig11_long_run"  # this study has no such run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return made_up_study(tmp_path_factory.getbasetemp()).path


@pytest.fixture(autouse=True)
def few_figures(tmp_path, monkeypatch):
    """Works where `analyses/waves` has three of the coopetition study's figures."""
    waves = tmp_path / "analyses" / "waves"
    waves.mkdir(parents=True)
    for name in (*DRAWN, NOT_DRAWN):
        shutil.copy(COOPETITION / f"{name}.py", waves)
    (waves / "runs.py").write_text("from made_up_study import plan\n")
    monkeypatch.chdir(tmp_path)


def words(runs):
    return ["figures", "--out", "page", "--runs", f"waves={runs}", "--preset", "tiny"]


def numbers_in(folder):
    return {file.name: pd.read_csv(file) for file in Path(folder).rglob("*_numbers.csv")}


def test_a_missing_run_of_ones_own_is_told_and_the_rest_is_drawn(runs, capsys):
    assert main(words(runs)) == 2
    output = capsys.readouterr()
    assert f"wrote {Path('page') / 'index.html'}" in output.out
    assert "fig11_long_run: no run of" in output.out
    assert output.err.splitlines()[-1].endswith("1 figures were not drawn: fig11_long_run")
    assert sorted(numbers_in("page")) == [f"{name}_numbers.csv" for name in DRAWN]
    assert not list(Path("page").rglob("*.png"))


def test_what_is_packed_draws_the_same_page_without_the_weights(runs, tmp_path, capsys):
    plan, out = "analyses/waves/runs.py", "checkpoints/waves"
    assert main(["pack", plan, "--runs", str(runs), "--preset", "tiny", "--out", out]) == 0
    assert "fig11_long_run is not drawn" in capsys.readouterr().out
    assert not list((tmp_path / out).rglob("*.safetensors"))
    assert main(["figures", "--out", "packed"]) == 0  # what is packed is all there is to draw
    assert "1 figures were not drawn" in capsys.readouterr().out
    assert "Not drawn: 1" in Path("packed/index.html").read_text(encoding="utf-8")
    main(words(runs))
    packed, whole = numbers_in("packed"), numbers_in("page")
    assert packed.keys() == whole.keys()
    assert all(packed[name].equals(whole[name]) for name in whole)
    assert main(["pack", plan, "--runs", str(runs), "--preset", "tiny", "--out", out]) == 2
    assert "is not empty" in capsys.readouterr().err


FIGURE = '''"""One number."""
import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.reporting.verdicts import NumberRule

PUBLISHED = {}


def table(study):
    return pd.DataFrame({"a": [1.0]})


def draw(tables):
    return go.Figure()


def rules(tables):
    return [NumberRule("the number", {0: tables[""]["a"].item()}, "over", 0.0)]
'''


def test_a_figure_whose_file_fails_is_named_at_the_end(tmp_path, capsys):
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "fig1_fine.py").write_text(FIGURE)
    (tmp_path / "toys" / "fig2_fails.py").write_text(FIGURE.replace('["a"]', '["a typo"]'))
    assert main(["figures", "--out", "page", "--study", "toys"]) == 2
    output = capsys.readouterr()
    assert "fig2_fails.py failed, in line" in output.out
    assert "(KeyError: 'a typo')" in output.out
    assert output.err.splitlines()[-1].endswith("1 figures have files at fault: fig2_fails")
    assert list(numbers_in("page")) == ["fig1_fine_numbers.csv"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--runs", "waves=no-such-runs"], "'no-such-runs' is not there"),
        (["--runs", "no-such-runs"], "must be NAME=DIR"),
        (["--runs", "tides=."], "there is no study tides: choose from waves"),
        (["--study", "no-such-study"], "no-such-study is not there"),
        ([], "no figure could be drawn. waves: no study to draw from"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_error(given, message, tmp_path, capsys):
    assert main(["figures", "--out", "page", *given]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("coopetition-interp: error: ")
    assert message in error
    assert not (tmp_path / "page").exists()
