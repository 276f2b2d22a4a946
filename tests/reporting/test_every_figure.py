"""The page is what the folders hold: studies and figures are found, not named."""

import html
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from made_up_study import made_up_study

from coopetition_interp.config_class import ConfigError
from coopetition_interp.reporting.every_figure import draw_every_figure, find_chapters
from coopetition_interp.reporting.figure_file import FigureFileError
from coopetition_interp.reporting.pack import pack_study

COOPETITION = Path(__file__).parents[2] / "analyses" / "coopetition"
OLD_INDEX = '{"runs": {"main": {"config": {}, "sequences_seen": 640}}}'
SIMULATED = '''"""Figure {n}: halves.

A number is halved each time.
"""
import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.reporting.verdicts import NumberRule

PUBLISHED = {{"the last": "small"}}


def table(study):
    assert study is None
    return pd.DataFrame({{"step": range(5), "value": [2.0**-n for n in range(5)]}})


def draw(tables):
    return go.Figure(go.Scatter(x=tables[""]["step"], y=tables[""]["value"]))


def rules(tables):
    return [NumberRule("the last", {{0: tables[""]["value"].iloc[-1]}}, "under", {n}.0)]
'''


def simulated(folder, *numbers):
    folder.mkdir(parents=True, exist_ok=True)
    for n in numbers:
        (folder / f"fig{n}_halves.py").write_text(SIMULATED.format(n=n))
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A directory with `analyses/waves` of two of the coopetition study's figures."""
    waves = tmp_path / "analyses" / "waves"
    waves.mkdir(parents=True)
    for name in ("fig01b_transience", "fig11_long_run"):
        shutil.copy(COOPETITION / f"{name}.py", waves)
    (waves / "runs.py").write_text("from made_up_study import plan\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return made_up_study(tmp_path_factory.getbasetemp())


def draw(**options):
    return draw_every_figure(Path("page"), progress=False, **options)


def text_of(page):
    return page.read_text(encoding="utf-8")


def test_a_figure_is_added_by_adding_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = simulated(tmp_path / "my_own", 1)
    page, (chapter,), told = draw(studies=[folder])
    assert told == []
    assert list(chapter.figures) == ["fig1_halves"]
    simulated(folder, 2)
    page, (chapter,), _ = draw(studies=[folder])
    assert list(chapter.figures) == ["fig1_halves", "fig2_halves"]
    assert text_of(page).count('id="my-own-fig') == 2
    numbers = pd.read_csv(page.parent / "my-own" / "fig2_halves_numbers.csv")
    assert numbers["verdict"].tolist() == ["agrees (one run)"]


FAULTS = {
    'tables[""]["value"].iloc[-1]': ('tables[""]["no such"]', "KeyError: 'no such'"),
    "return go.Figure(": ("return print(", "draw\\(\\) gives a plotly figure; it gave NoneType"),
    'return pd.DataFrame({"step"': ('return {"a": 3} or ({"step"', "table\\(\\) gives .* gave int"),
    "import plotly": ("import no_such_package, plotly", "No module named 'no_such_package'"),
    "{0: tables": ('{1: "text", 0: tables', "failed .*Error: "),
}


@pytest.mark.parametrize("healthy", FAULTS)
def test_a_figure_that_fails_is_told_in_its_place_and_the_others_are_drawn(
    healthy, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = simulated(tmp_path / "my_own", 1, 2, 3)
    faulty, said = FAULTS[healthy]
    file = folder / "fig2_halves.py"
    file.write_text(file.read_text().replace(healthy, faulty))
    page, (chapter,), _ = draw(studies=[folder])
    assert list(chapter.figures) == ["fig1_halves", "fig3_halves"]
    (why,) = chapter.failures["fig2_halves"].values()
    assert re.search(said, why)
    text = html.unescape(text_of(page))
    places = [text.index(f'<section id="my-own-fig{n}_halves">') for n in (1, 2, 3)]
    assert places[0] < places[1] < text.index(why) < places[2]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("int('a')", "ValueError: invalid literal for int() with base 10: 'a'"),
    ],
)
def test_the_line_of_a_failing_figure_is_told(fault, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = simulated(Path("my_own"), 1, 2)
    (folder / "fig2_halves.py").write_text(SIMULATED.format(n=2) + f"\n{fault}\n")
    _, (chapter,), _ = draw(studies=[folder])
    line = (folder / "fig2_halves.py").read_text().splitlines().index(fault) + 1
    ((name, source),) = chapter.failed
    assert chapter.missing[name, source] == f"fig2_halves.py failed, in line {line} ({said})"


def test_chapters_come_in_the_order_that_they_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("apples", "berries", "cherries"):
        simulated(tmp_path / "analyses" / name, 1)
    (tmp_path / "analyses" / "no_figures").mkdir()
    said = 'TITLE = "Cherry"\nORDER = 1\nHEADLINE_FIGURE = "fig1_halves"\nGLOSSARY = {"stone": "x"}'
    (tmp_path / "analyses" / "cherries" / "chapter.py").write_text(said)
    assert [each.title for each in find_chapters()] == ["Cherry", "apples", "berries"]
    text = text_of(draw()[0])
    assert 'id="figure-headline"' in text
    assert "<dt>stone</dt><dd>x</dd>" in text
    (tmp_path / "analyses" / "cherries" / "chapter.py").write_text('HEADLINE_FIGURE = "fig7"')
    with pytest.raises(FigureFileError, match=r"chapter\.py names fig7"):
        find_chapters()


def test_every_packed_study_is_found_and_old_ones_are_told(workplace, study):
    study.curves("main")
    packed = pack_study(study, workplace / "checkpoints" / "waves" / "small").path
    shutil.copytree(packed, packed.parent / "deep" / "other")
    old = packed.parent / "old"
    old.mkdir()
    (old / "study.json").write_text(OLD_INDEX)
    page, (chapter,), told = draw()
    assert [source.title for source in chapter.sources] == [
        "deep/other: gaussian, learning rate 0.003",
        "small: gaussian, learning rate 0.003",
    ]
    assert len(chapter.figures["fig01b_transience"]) == 2
    assert len(told) == 1
    assert "old/study.json is damaged, or of an older version" in told[0]
    assert next(iter(chapter.reasons.values()))[0].startswith("fig11_long_run")
    text = text_of(page)
    assert "2 not drawn" in text
    assert "fig11_long_run (small)" in text


def test_where_no_study_is_packed_every_figure_is_listed_with_the_reason(workplace):
    simulated(workplace / "analyses" / "halves", 1)
    page, _, _ = draw()
    assert "<b>fig01b_transience, fig11_long_run</b>: no study to draw from" in text_of(page)
    shutil.rmtree(workplace / "analyses" / "halves")
    with pytest.raises(ConfigError, match=r"no figure could be drawn\. waves: no study"):
        draw()


def test_own_sweeps_are_drawn_instead_and_must_be_of_a_study(workplace, study):
    page, (chapter,), _ = draw(runs={"waves": study.path}, preset="tiny")
    assert list(chapter.figures) == ["fig01b_transience"]
    assert (page.parent / "waves" / study.path.name / "fig01b_transience_numbers.csv").is_file()
    with pytest.raises(ConfigError, match="there is no study tides: choose from waves"):
        draw(runs={"tides": study.path})


def test_a_folder_without_figures_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="analyses is not there: call this in the root"):
        draw()
    with pytest.raises(FigureFileError, match="holds no figure"):
        draw(studies=[tmp_path])
    assert not (tmp_path / "page").exists()
