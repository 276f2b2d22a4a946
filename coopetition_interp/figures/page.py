"""One page with every figure: what is claimed, the published numbers, ours, and the verdict.

The page is a single file that opens from disk without a network: plotly.js is in it once, and every
figure is drawn by that copy from its JSON. A content security policy forbids it to load anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from coopetition_interp.files.atomic_file import atomic_file

Verdict = Literal["reproduced", "differs", "not testable at this scale"]

NUMBERS_COLUMNS = ("quantity", "paper", "ours")
DEFAULT_HEIGHT = 480


@dataclass(frozen=True, eq=False)
class FigureEntry:
    """A figure of the page and what stands beside it. All text is shown as it is, not as HTML.

    Attributes:
        title: "Figure 1b", and what it shows.
        claim: What the paper says that the figure shows.
        figure: The figure.
        numbers: Columns ``quantity``, ``paper`` and ``ours``, a row per number; may have no rows.
        verdict: Whether our run bears the claim out.
        run: The run it came from: its name and length, say.
        note: Where ours differs and by how much, how the verdict was reached, or why it cannot be
            tested.

    Raises:
        ValueError: Another verdict, a text that is empty, or other columns.
    """

    title: str
    claim: str
    figure: go.Figure
    numbers: pd.DataFrame
    verdict: Verdict
    run: str
    note: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in get_args(Verdict):
            raise ValueError(
                f"verdict of {self.title!r} must be one of {', '.join(get_args(Verdict))}; got "
                f"{self.verdict!r}"
            )
        for name in ("title", "claim", "run"):
            if not getattr(self, name).strip():
                raise ValueError(f"the {name} of entry {self.title!r} is empty")
        if tuple(self.numbers.columns) != NUMBERS_COLUMNS:
            raise ValueError(
                f"numbers of {self.title!r} need the columns {', '.join(NUMBERS_COLUMNS)}; got "
                f"{', '.join(map(str, self.numbers.columns))}"
            )


def write_page(
    entries: Sequence[FigureEntry],
    path: str | Path,
    title: str = "Strategy coopetition",
    not_drawn: Mapping[str, str] | None = None,
) -> Path:
    """Write the page, whole or not at all.

    Args:
        entries: In the order in which they appear.
        path: The file, usually ``.../index.html``; missing folders are made.
        title: Of the page.
        not_drawn: Why a figure is missing, by its name; listed at the end.

    Returns:
        ``path``.

    Raises:
        ValueError: No entries, or two of the same title.
        OSError: No space or no permission.
    """
    if not entries:
        raise ValueError("a page needs one entry at least")
    titles = Counter(entry.title for entry in entries)
    if titles.most_common(1)[0][1] > 1:
        raise ValueError(f"several entries are called {titles.most_common(1)[0][0]!r}: rename one")
    verdicts = Counter(entry.verdict for entry in entries)
    counts = ", ".join(f"{verdicts[v]} {v}" for v in get_args(Verdict) if verdicts[v])
    page = _PAGE.format(
        title=escape(title),
        style=_STYLE,
        plotlyjs=get_plotlyjs(),
        counts=escape(f"{len(entries)} figures: {counts}"),
        contents="\n".join(_contents_line(n, entry) for n, entry in enumerate(entries, start=1)),
        sections="\n".join(_section(n, entry) for n, entry in enumerate(entries, start=1)),
        not_drawn=_not_drawn(not_drawn or {}),
        draw=_DRAW,
    )
    path = Path(path)
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _not_drawn(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return ""
    lines = "\n".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in reasons.items())
    return f"<section>\n<h2>Not drawn</h2>\n<ul>\n{lines}\n</ul>\n</section>"


def _badge(verdict: Verdict) -> str:
    return f'<span class="verdict {verdict.split()[0]}">{escape(verdict)}</span>'


def _contents_line(number: int, entry: FigureEntry) -> str:
    return f'<li><a href="#entry-{number}">{escape(entry.title)}</a> {_badge(entry.verdict)}</li>'


def _section(number: int, entry: FigureEntry) -> str:
    height = entry.figure.layout.height or DEFAULT_HEIGHT
    return f"""\
<section id="entry-{number}">
<h2>{escape(entry.title)} {_badge(entry.verdict)}</h2>
<p class="claim">{escape(entry.claim)}</p>
<div class="figure" id="figure-{number}" style="height:{int(height)}px"></div>
<script type="application/json" id="data-{number}">{_figure_json(entry.figure)}</script>
{_numbers_table(entry.numbers)}
{f'<p class="note">{escape(entry.note)}</p>' if entry.note else ""}
<p class="run">Run: {escape(entry.run)}</p>
</section>"""


def _figure_json(figure: go.Figure) -> str:
    """JSON that cannot end the script element it stands in; the figure fills the page's width."""
    fluid = go.Figure(figure).update_layout(width=None, autosize=True)
    json = fluid.to_json() or ""
    return json.replace("<", "\\u003c")


def _numbers_table(numbers: pd.DataFrame) -> str:
    if numbers.empty:
        return ""
    rows = "\n".join(
        "<tr>"
        + "".join(f"<td>{escape(str(row[column]))}</td>" for column in NUMBERS_COLUMNS)
        + "</tr>"
        for row in numbers.to_dict("records")
    )
    return f"<table>\n<tr><th></th><th>paper</th><th>ours</th></tr>\n{rows}\n</table>"


_STYLE = """
body { font: 16px/1.5 Helvetica, Arial, sans-serif; color: #222; max-width: 1100px;
  margin: 2em auto; padding: 0 1em; }
section { border-top: 1px solid #ddd; margin-top: 2.5em; }
h2 { font-size: 1.25em; }
.claim { font-style: italic; }
.run, .counts { color: #666; }
.figure { overflow-x: auto; }
.failed { color: #b00020; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { border-bottom: 1px solid #ddd; padding: 0.2em 1.2em 0.2em 0; text-align: left; }
.verdict { font-size: 13px; font-weight: normal; padding: 0.1em 0.6em; border-radius: 1em;
  white-space: nowrap; }
.reproduced { background: #d8f0dc; }
.differs { background: #fbe0d0; }
.not { background: #e6e6e6; }
"""

# A figure that fails says so in its place and does not keep the others from being drawn.
_DRAW = """
const CONFIG = {responsive: true, displaylogo: false, showSendToCloud: false};
for (const place of document.querySelectorAll(".figure")) {
  const data = document.getElementById(place.id.replace("figure", "data"));
  Promise.resolve()
    .then(() => JSON.parse(data.textContent))
    .then(({data, layout, frames}) =>
      Plotly.newPlot(place, {data, layout, frames, config: CONFIG}))
    .catch((error) => {
      place.classList.add("failed");
      place.textContent = `This figure could not be drawn: ${error}`;
      console.error(place.id, String(error));
    });
}
"""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; \
font-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<script>{plotlyjs}</script>
</head>
<body>
<h1>{title}</h1>
<p class="counts">{counts}</p>
<ol>
{contents}
</ol>
{sections}
{not_drawn}
<script>{draw}</script>
</body>
</html>
"""
