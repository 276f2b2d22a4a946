"""One page with every figure: what is claimed, the published numbers, ours, and the verdict.

The page is a single file that opens from disk without a network: plotly.js is in it once, zipped,
and every figure is drawn by that copy from its JSON when it comes into view. A content security
policy forbids it to load anything.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.reporting.chapter import DrawnChapter, Source
from coopetition_interp.reporting.figure_file import DrawnFigure
from coopetition_interp.reporting.figure_json import (
    MOST_POINTS,
    figure_json,
    least_width,
    page_figure,
    template_json,
)
from coopetition_interp.reporting.verdicts import Verdict

MARKS = {"reproduced": "✓", "agrees": "✓", "contradicted": "✗", "disagrees": "✗", "undecided": "?"}
"""By a verdict's first word, which is also its class in the style sheet."""

NOT_DRAWN = "figures not drawn"


def write_page(
    chapters: Sequence[DrawnChapter], path: str | Path, title: str = "Figures and verdicts"
) -> Path:
    """Writes the page, whole or not at all.

    Args:
        chapters: In the order in which they appear.
        path: The file, usually `.../index.html`; missing folders are made.
        title: Of the page.

    Returns:
        `path`.

    Raises:
        ValueError: There is no figure, or two chapters are of the same name.
        OSError: No space or no permission.
    """
    if not any(chapter.figures for chapter in chapters):
        raise ValueError("a page needs one figure at least")
    names = Counter(chapter.chapter.name for chapter in chapters)
    if names.most_common(1)[0][1] > 1:
        raise ValueError(f"two chapters are called {names.most_common(1)[0][0]}: rename a folder")
    environment = Environment(
        loader=PackageLoader("coopetition_interp.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["kind"] = lambda verdict: verdict.partition(" ")[0]
    environment.filters["code"] = _code
    environment.filters["mark"] = lambda verdict: MARKS.get(verdict.partition(" ")[0], "–")
    page = environment.get_template("page.html").render(
        title=title,
        chapters=chapters,
        counts=[
            (chapter, source, verdict_counts(chapter, source))
            for chapter in chapters
            for source in chapter.sources
            if any(source in drawn for drawn in chapter.figures.values())
        ],
        verdicts=get_args(Verdict),
        not_drawn=NOT_DRAWN,
        headline=_headline(chapters),
        picture=picture,
        plotlyjs=base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode(),
        template=Markup(template_json()),
        most_points=MOST_POINTS,
    )
    path = Path(path)
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def verdict_counts(chapter: DrawnChapter, source: Source) -> Counter[str]:
    """How many claims of a chapter's figures, drawn from a source, have each verdict.

    Under `NOT_DRAWN`, how many figures could not be drawn from it.
    """
    counts = Counter[str](
        claim.verdict
        for drawn in chapter.figures.values()
        if source in drawn
        for claim in drawn[source].claims.values()
    )
    counts[NOT_DRAWN] = sum(missing_from == source for _, missing_from in chapter.missing)
    return counts


def picture(drawn: DrawnFigure) -> dict[str, Any]:
    """What the template needs of a picture: its JSON, height and least width."""
    figure = page_figure(drawn.figure)
    return {
        "json": Markup(figure_json(figure)),  # cannot end its element
        "height": figure.layout.height,
        "least_width": least_width(figure),
    }


def _code(text: str) -> Markup:
    """A text, escaped, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _headline(
    chapters: Sequence[DrawnChapter],
) -> tuple[DrawnChapter, str, Source, DrawnFigure] | None:
    """The first chapter's headline figure that could be drawn, from its first source."""
    for chapter in chapters:
        name = chapter.chapter.headline_figure
        for source, drawn in chapter.figures.get(name, {}).items():
            return chapter, name, source, drawn
    return None
