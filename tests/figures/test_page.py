"""The page of all figures, opened in a real browser."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pandas as pd
import plotly.graph_objects as go
import pytest
from choreographer.browsers.chromium import Chromium
from jaxtyping import config
from plotly.subplots import make_subplots
from small_coopetition import page_of_small_coopetition

from coopetition_interp.figures.coopetition.all_figures import STUDY_FIGURES
from coopetition_interp.figures.page import FigureEntry, write_page

NASTY = '</script><script>alert("x")</script> <b>&amp; {braces}'
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta"}


def entry(title="Figure 1b", **changes):
    fields = {
        "claim": "ICL emerges and fades",
        "figure": go.Figure(go.Scatter(x=[0, 1, 2], y=[0.5, 0.7, 0.1])),
        "numbers": pd.DataFrame(
            [("Flip peaks", "0.71", "0.68")], columns=["quantity", "paper", "ours"]
        ),
        "verdict": "reproduced",
        "run": "laptop, 3M sequences",
    }
    return FigureEntry(title=title, **(fields | changes))


class DrawnFigures(HTMLParser):
    """Ids of the figures in a page, and of those that hold a drawing by plotly."""

    def __init__(self):
        super().__init__()
        self.figures, self.drawn, self._open = [], set(), []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        classes = (attributes.get("class") or "").split()
        if tag not in VOID:
            figure = attributes["id"] if "figure" in classes and tag == "div" else None
            if figure:
                self.figures.append(figure)
            self._open.append((tag, figure if "js-plotly-plot" in classes else None))
        if tag == "svg" and "main-svg" in classes:
            self.drawn.update(figure for _, figure in self._open if figure)

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass


@pytest.fixture
def open_page(tmp_path):
    """Opens a page in headless Chromium: (its console's lines, its elements after scripts ran)."""
    browser = shutil.which("chromium") or Chromium.find_browser(skip_local=False)
    if browser is None:
        pytest.skip("no Chrome or Chromium on this machine to open the page with")

    def open_it(path):
        done = subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",  # so that root may run it
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--enable-logging=stderr",
                "--v=0",
                f"--user-data-dir={tmp_path / 'browser'}",
                "--virtual-time-budget=10000",
                "--dump-dom",
                path.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=600,  # a hang, however slow the machine
            check=True,
        )
        parser = DrawnFigures()
        parser.feed(done.stdout)
        return [line for line in done.stderr.splitlines() if ":CONSOLE" in line], parser

    return open_it


def test_every_figure_is_drawn_and_the_console_is_silent(open_page, tmp_path):
    panels = make_subplots(rows=2, cols=2)
    for place in range(4):
        panels.add_scatter(y=[1, 3, place], row=place // 2 + 1, col=place % 2 + 1)
    page = write_page(
        [
            entry(),
            entry("Figure 7", figure=panels, verdict="differs", note="by 0.1"),
            entry("heat", figure=go.Figure(go.Heatmap(z=[[1, 2], [3, 4]]))),
            entry(NASTY, claim=NASTY, run=NASTY, note=NASTY, figure=go.Figure(layout_title=NASTY)),
        ],
        tmp_path / "deep" / "index.html",
        title=NASTY,
    )
    console, parser = open_page(page)
    assert console == []
    assert parser.figures == ["figure-1", "figure-2", "figure-3", "figure-4"]
    assert parser.drawn == set(parser.figures)


def test_every_figure_of_a_study_is_drawn(open_page, tmp_path_factory):
    page, missing = page_of_small_coopetition(tmp_path_factory.getbasetemp())
    assert missing == {}
    console, parser = open_page(page)
    assert console == []
    assert len(parser.figures) == len(STUDY_FIGURES)
    assert parser.drawn == set(parser.figures)


def test_a_figure_that_fails_is_told_and_the_others_are_drawn(open_page, tmp_path):
    # Also shows that the test above would see an error.
    page = write_page([entry("first"), entry("second")], tmp_path / "index.html")
    text = page.read_text(encoding="utf-8")
    broken = text.replace('id="data-1">{', 'id="data-1">[', 1)
    assert broken != text
    page.write_text(broken, encoding="utf-8")
    console, parser = open_page(page)
    assert len(console) == 1
    assert "figure-1 SyntaxError" in console[0]
    assert parser.drawn == {"figure-2"}


def test_frames_come_along(open_page, tmp_path):
    moving = go.Figure(
        go.Heatmap(z=[[1]]),
        frames=[go.Frame(name=str(n), data=[{"type": "heatmap", "z": [[n]]}]) for n in range(3)],
    )
    page = write_page([entry(figure=moving)], tmp_path / "index.html")
    count = 'document.querySelector(".figure")._transitionData._frames.length'
    log = f"<script>setTimeout(() => console.log('frames: ' + {count}), 3000)</script></body>"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", log), encoding="utf-8")
    console, _ = open_page(page)
    assert len(console) == 1
    assert "frames: 3" in console[0]


def test_the_page_holds_plotly_once_and_fetches_nothing(tmp_path):
    page = write_page([entry("first"), entry("second")], tmp_path / "index.html")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    text = page.read_text(encoding="utf-8")
    assert text.count("* plotly.js v") == 1
    tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", text)
    assert not any("src=" in tag or "href=" in tag for tag in tags)
    assert "default-src 'none'" in text


def test_the_page_shows_what_an_entry_says(tmp_path):
    page = write_page(
        [entry(), entry("Figure 2", verdict="not testable at this scale", note="12 layers")],
        tmp_path / "index.html",
    )
    text = page.read_text(encoding="utf-8")
    for said in (
        "2 figures: 1 reproduced, 1 not testable at this scale",
        "ICL emerges and fades",
        "<td>Flip peaks</td><td>0.71</td><td>0.68</td>",
        "Run: laptop, 3M sequences",
        "12 layers",
    ):
        assert said in text


def test_text_is_escaped(tmp_path):
    numbers = pd.DataFrame([(NASTY, NASTY, NASTY)], columns=["quantity", "paper", "ours"])
    nasty = entry(
        NASTY,
        claim=NASTY,
        run=NASTY,
        note=NASTY,
        numbers=numbers,
        figure=go.Figure(go.Scatter(x=[1], y=[1], name=NASTY)),
    )
    text = write_page([nasty], tmp_path / "index.html", title=NASTY).read_text(encoding="utf-8")
    assert "alert(" in text
    assert '<script>alert("x")' not in text
    assert "<b>&amp;" not in text


def test_an_unknown_verdict_is_refused():
    config.update("jaxtyping_disable", True)  # what a user sees, who has no run-time checker
    try:
        with pytest.raises(ValueError, match="verdict of 'Figure 1b' must be one of reproduced"):
            entry(verdict="probably")
    finally:
        config.update("jaxtyping_disable", False)


def test_bad_entries_are_refused(tmp_path):
    with pytest.raises(ValueError, match="the claim of entry 'Figure 1b' is empty"):
        entry(claim=" ")
    with pytest.raises(ValueError, match="need the columns quantity, paper, ours; got a"):
        entry(numbers=pd.DataFrame({"a": [1]}))
    with pytest.raises(ValueError, match="one entry at least"):
        write_page([], tmp_path / "index.html")
    with pytest.raises(ValueError, match="several entries are called 'Figure 1b'"):
        write_page([entry(), entry()], tmp_path / "index.html")
    assert list(tmp_path.iterdir()) == []
