"""The page of all figures, opened in a real browser."""

import base64
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from browser import open_in_browser
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from coopetition_interp.reporting.chapter import Chapter, DrawnChapter, Source
from coopetition_interp.reporting.figure_file import DrawnFigure
from coopetition_interp.reporting.figure_json import (
    MOST_POINTS,
    figure_json,
    least_width,
    page_figure,
)
from coopetition_interp.reporting.page import write_page
from coopetition_interp.reporting.style import TEMPLATE
from coopetition_interp.reporting.verdicts import Beside, NumberRule

NASTY = '</script><script>alert("x")</script> <b>&amp; {braces} {{ 7 * 7 }}'
HERE = Source()


def drawn(title="Figure 1b", **changes):
    fields = {
        "name": "fig01b",
        "claim": "ICL emerges and fades",
        "figure": go.Figure(go.Scatter(x=[0, 1, 2], y=[0.5, 0.7, 0.1])),
        "tables": {"": pd.DataFrame({"a": [1]})},
        "rules": [NumberRule("Flip at its peak", {5: 0.68, 6: 0.69, 7: 0.7}, "over", 0.55)],
        "published": {"Flip at its peak": "0.71"},
    }
    return DrawnFigure(title=title, **(fields | changes))


def chapter(*figures, missing=None, name="waves", **changes):
    fields = {"folder": Path("analyses") / name, "title": "Waves", "key_figures": ("fig-1",)}
    return DrawnChapter(
        Chapter(**(fields | changes)),
        [HERE],
        {f"fig-{n}": {HERE: figure} for n, figure in enumerate(figures, start=1)},
        {(name, HERE): why for name, why in (missing or {}).items()},
    )


@pytest.fixture
def open_page(tmp_path):
    return lambda path, **options: open_in_browser(path, tmp_path / "browser", **options)


def log_once(ready: str, what: str, page: Path) -> None:
    """Has a page tell something on the console as soon as it is ready, however slow it is."""
    ask = f"if ({ready}) {{ clearInterval(asked); console.log({what}); }}"
    script = f"<script>const asked = setInterval(() => {{ {ask} }}, 100)</script></body>"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", script), encoding="utf-8")


def test_every_figure_is_drawn_and_the_console_is_silent(open_page, tmp_path):
    panels = make_subplots(rows=2, cols=2)
    for place in range(4):
        panels.add_scatter(y=[1, 3, place], row=place // 2 + 1, col=place % 2 + 1)
    nasty = {
        "claim": NASTY,
        "why": NASTY,
        "rules": [NumberRule(NASTY, {5: 1.0}, "over", 0.0)],
        "published": {NASTY: NASTY},
        "figure": go.Figure(go.Scatter(x=[1], y=[1], name=NASTY), layout_title=NASTY),
    }
    page = write_page(
        [
            chapter(
                drawn(),
                drawn("Figure 7", figure=panels),
                drawn("heat", figure=go.Figure(go.Heatmap(z=[[1, 2], [3, 4]]))),
                headline_figure="fig-1",
            ),
            chapter(
                drawn(NASTY, **nasty),
                missing={NASTY: NASTY},
                name="nasty'\" <b>",
                title=NASTY,
                introduction=NASTY,
                glossary={NASTY: NASTY},
            ),
        ],
        tmp_path / "deep" / "index.html",
        title=NASTY,
    )
    console, parser = open_page(page, enough=lambda page: page.drawn == set(page.figures))
    assert console == []
    assert len(parser.figures) == len(set(parser.figures)) == 5
    assert parser.drawn == set(parser.figures)
    text = page.read_text(encoding="utf-8")
    assert json.loads(re.search(r'id="template">(.*?)</script>', text)[1]) == _plain(TEMPLATE)
    assert "alert(" in text
    assert '<script>alert("x")' not in text
    assert "<b>&amp;" not in text
    scripts = r'<script(?: type="text/plain" id="plotlyjs")?>.*?</script>'
    assert "49" not in re.sub(scripts, "", text, flags=re.DOTALL)


def test_a_figure_out_of_view_is_drawn_when_it_comes_into_view(open_page, tmp_path):
    page = write_page([chapter(*map(drawn, "abcdefgh"))], tmp_path / "index.html")
    _, parser = open_page(page, height=700)
    assert {"figure-waves-fig-1-1"} <= parser.drawn < set(parser.figures)
    jump = (
        "<script>document.getElementById('figure-waves-fig-8-1').scrollIntoView()</script></body>"
    )
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", jump), encoding="utf-8")
    _, parser = open_page(page, height=700)
    assert "figure-waves-fig-8-1" in parser.drawn


def test_a_figure_that_fails_is_told_and_the_others_are_drawn(open_page, tmp_path):
    # Also shows that the test above would see an error.
    page = write_page([chapter(drawn("first"), drawn("second"))], tmp_path / "index.html")
    text = page.read_text(encoding="utf-8")
    broken = text.replace('id="data-waves-fig-1-1">{', 'id="data-waves-fig-1-1">[', 1)
    assert broken != text
    page.write_text(broken, encoding="utf-8")
    console, parser = open_page(page)
    assert len(console) == 1
    assert "figure-waves-fig-1-1 SyntaxError" in console[0]
    assert parser.drawn == {"figure-waves-fig-2-1"}


def test_frames_come_along(open_page, tmp_path):
    moving = go.Figure(
        go.Heatmap(z=[[1]]),
        frames=[go.Frame(name=str(n), data=[{"type": "heatmap", "z": [[n]]}]) for n in range(3)],
    )
    page = write_page([chapter(drawn(figure=moving))], tmp_path / "index.html")
    count = 'document.querySelector(".figure")._transitionData?._frames.length'
    log_once(count, f"'frames: ' + {count}", page)
    console, _ = open_page(page, enough=lambda page: False)
    assert len(console) == 1
    assert "frames: 3" in console[0]


def test_a_phone_scrolls_wide_figures_in_their_box_and_not_the_page(open_page, tmp_path):
    wide = make_subplots(rows=1, cols=4, subplot_titles=["a title of some length"] * 4)
    for col in range(1, 5):
        wide.add_scatter(y=[1, 2], row=1, col=col)
    page = write_page(
        [chapter(drawn("A" * 90), drawn(figure=wide), headline_figure="fig-2")],
        tmp_path / "index.html",
    )
    widths = "document.documentElement.scrollWidth + ' of ' + innerWidth + ', figure ' + "
    widths += "document.getElementById('figure-waves-fig-2-1').clientWidth"
    drawn_all = "[...document.querySelectorAll('.figure')].every(f => f.querySelector('.main-svg'))"
    log_once(drawn_all, f"'width ' + {widths}", page)
    phone = tmp_path / "phone.html"
    phone.write_text('<iframe src="index.html" style="width:390px;height:9000px;border:0">')
    console, _ = open_page(phone)
    found = re.search(r"width (\d+) of (\d+), figure (\d+)", console[0])
    page_width, window, figure = map(int, found.groups())
    assert (page_width, window) == (390, 390)
    assert figure == least_width(page_figure(wide)) >= 4 * 200


def test_the_page_holds_plotly_once_and_fetches_nothing(tmp_path):
    page = write_page([chapter(drawn("first"), drawn("second"))], tmp_path / "index.html")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    text = page.read_text(encoding="utf-8")
    zipped = re.findall(r'id="plotlyjs">([^<]*)</script>', text)
    assert [gzip.decompress(base64.b64decode(each)).decode() for each in zipped] == [get_plotlyjs()]
    assert "* plotly.js v" not in text
    tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", text)
    assert not any("src=" in tag or "href=" in tag for tag in tags)
    assert "default-src 'none'" in text


def test_the_page_says_what_is_claimed_found_and_missing(tmp_path):
    undecided = drawn(
        "Figure 2",
        rules=[NumberRule("ICL at the end", {5: 0.4, 6: 0.6}, "under", 0.5)],
        published={},
        beside=[Beside("the fall", "in 2 of 3")],
        why="Too few seeds.",
    )
    page = write_page(
        [chapter(drawn(why="Never."), undecided, missing={"fig03": "no run", "fig04": "no run"})],
        tmp_path / "index.html",
    )
    text = " ".join(page.read_text(encoding="utf-8").split())
    counts = re.search(r"<small>simulated on the spot</small></th>(.*?)</tr>", text)[1]
    assert re.findall(r"<td>(.*?)</td>", counts) == ["1", "–", "1", "–", "–", "–", "2"]
    for said in (
        "ICL emerges and fades",
        "1 reproduced. Flip at its peak: 0.69 (95% interval 0.665 to 0.715, 3 seeds); published: "
        "0.71.",
        '<td class="mark reproduced">✓</td>',
        '<td class="mark undecided">?</td>',
        "the fall (no verdict)",
        "Too few seeds.",
        "2 not drawn",
        "<b>fig03, fig04</b>: no run",
    ):
        assert said in text, said
    assert "Never." not in text  # the claim was found


def test_claims_of_one_figure_are_counted_and_told_one_by_one(tmp_path):
    holds = NumberRule("Flip at its peak", {5: 0.68, 6: 0.69, 7: 0.7}, "over", 0.55, "emerges")
    fails = NumberRule("Flip at the end", {5: 0.4, 6: 0.41, 7: 0.42}, "under", 0.2, "fades")
    both = drawn(rules=[holds, fails], why="It is too short.")
    assert {name: claim.verdict for name, claim in both.claims.items()} == {
        "emerges": "reproduced",
        "fades": "contradicted",
    }
    page = write_page([chapter(both)], tmp_path / "index.html")
    text = " ".join(page.read_text(encoding="utf-8").split())
    counts = re.search(r"<small>simulated on the spot</small></th>(.*?)</tr>", text)[1]
    assert re.findall(r"<td>(.*?)</td>", counts) == ["1", "1", "–", "–", "–", "–", "–"]
    for said in (
        "emerges: One check: 1 reproduced. Flip at its peak: 0.69",
        "fades: One check: 1 contradicted. Flip at the end: 0.41",
        'emerges <span class="verdict reproduced">reproduced</span>',
        "<b>fades</b> Flip at the end &lt; 0.2",
        "It is too short.",  # one of the two was not found
    ):
        assert said in text, said


def test_a_page_of_nothing_or_of_two_chapters_of_one_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="one figure at least"):
        write_page([chapter()], tmp_path / "index.html")
    with pytest.raises(ValueError, match="two chapters are called waves"):
        write_page([chapter(drawn()), chapter(drawn())], tmp_path / "index.html")
    assert list(tmp_path.iterdir()) == []


def test_long_lines_are_thinned_and_keep_their_end():
    places = np.arange(5_001.0)
    figure = go.Figure([go.Scatter(x=places, y=places / 3), go.Scatter(x=places, mode="markers")])
    sent = json.loads(figure_json(figure))
    assert "template" not in sent["layout"]  # the page holds it once
    line, dots = go.Figure(sent).data
    y = _numbers(line.y)
    assert MOST_POINTS / 2 < len(y) <= MOST_POINTS
    x = line.x0 + line.dx * np.arange(len(y))  # even steps are not written out
    assert line.x is None
    assert x[-1] == 5_000
    np.testing.assert_allclose(y, x / 3, rtol=1e-6)
    assert len(_numbers(dots.x)) == 5_001


def _plain(template):
    return json.loads(to_json_plotly(template.to_plotly_json()))


def _numbers(array):
    return np.frombuffer(base64.b64decode(array["bdata"]), dtype=array["dtype"])


def test_code_in_a_claim_is_shown_as_code_and_nothing_else_gets_through(tmp_path):
    claim = "the weights of `curves.py`, not `<b>`"
    page = write_page([chapter(drawn(claim=claim))], tmp_path / "index.html").read_text()
    assert "the weights of <code>curves.py</code>, not <code>&lt;b&gt;</code>" in page
