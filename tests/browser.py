"""A page opened in a real browser: what its console says, and which figures are drawn."""

import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from choreographer.browsers.chromium import Chromium

VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta"}


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


BUDGETS = (10_000, 60_000, 360_000)
"""Milliseconds of the page's own time. On a busy machine they may pass before a frame is drawn."""


def open_in_browser(path, profile, height=9_000, enough=lambda page: page.drawn):
    """Opens a file in headless Chromium, in a window that by default holds all of it.

    Returns:
        Its console's lines, and its figures after its scripts ran: for longer, until it is enough.
    """
    for budget in BUDGETS:
        console, page = _opened(path, profile, height, budget)
        if console or enough(page):
            break
    return console, page


def _opened(path, profile, height, budget):
    browser = shutil.which("chromium") or Chromium.find_browser(skip_local=False)
    if browser is None:
        pytest.skip("no Chrome or Chromium on this machine to open the page with")
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
            f"--user-data-dir={profile}",
            f"--window-size=1400,{height}",
            f"--virtual-time-budget={budget}",
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
