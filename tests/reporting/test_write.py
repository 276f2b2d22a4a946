import re

import plotly.graph_objects as go
import pytest
from choreographer.browsers.chromium import Chromium

from coopetition_interp.reporting import write_figure


@pytest.fixture
def figure():
    return go.Figure(go.Scatter(x=[1, 2, 3], y=[3, 1, 2], name="a curve"))


@pytest.fixture
def no_browser(monkeypatch, tmp_path):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-such-browser"))
    monkeypatch.setattr(Chromium, "find_browser", classmethod(lambda cls, **_: None))


def test_the_page_needs_no_network(figure, tmp_path, no_browser):
    page = write_figure(figure, tmp_path / "deep" / "fig_0.5")[0]
    assert page == tmp_path / "deep" / "fig_0.5.html"
    text = page.read_text(encoding="utf-8")
    assert "a curve" in text
    assert "Plotly.newPlot" in text
    assert len(text) > 1_000_000  # plotly.js itself
    tags = re.findall(r"<(?:script|link)\b[^>]*>", text)
    assert tags
    assert not any("src=" in tag or "href=" in tag for tag in tags)


def test_without_a_browser_one_line_says_how_to_get_the_png(figure, tmp_path, no_browser, capsys):
    assert write_figure(figure, tmp_path / "fig") == [tmp_path / "fig.html"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "install Chromium" in lines[0]
    assert str(tmp_path / "fig.html") in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["fig.html"]


def test_the_png_has_the_size_asked_for(figure, tmp_path):
    if Chromium.find_browser(skip_local=False) is None:
        pytest.skip("no Chrome or Chromium on this machine to draw the PNG")
    paths = write_figure(figure, tmp_path / "fig", width=300, height=200, scale=2.0)
    assert paths == [tmp_path / "fig.html", tmp_path / "fig.png"]
    png = paths[1].read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")) == (600, 400)


def test_an_older_figure_is_replaced(figure, tmp_path, no_browser):
    page = tmp_path / "fig.html"
    page.write_text("old")
    write_figure(figure, tmp_path / "fig")
    assert "a curve" in page.read_text(encoding="utf-8")
