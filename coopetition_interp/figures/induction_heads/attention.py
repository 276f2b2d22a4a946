"""Attention patterns of the main run's heads on a few sequences, as a circuitsvis page."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
from circuitsvis.attention import attention_heads

from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.studies.induction_weights import ATTENTION_PATTERNS
from coopetition_interp.studies.study import Study


def write_attention_patterns(study: Study, path: Path) -> Path:
    """Writes one page with all heads' patterns on each kept sequence; it needs no network.

    Args:
        study: The study.
        path: The page.

    Returns:
        `path`.

    Raises:
        StudyError: The study lacks the main run.
        OSError: No space or no permission.
    """
    table = study.table(ATTENTION_PATTERNS)
    sections = []
    library = ""
    for sequence, rows in table.groupby("sequence"):
        tokens, names, patterns = sequence_patterns(rows)
        rendered = attention_heads(patterns, tokens, names, max_value=1.0, min_value=0.0)
        # What circuitsvis gives holds the whole library each time: the page keeps it once.
        before, script, rest = rendered.local_src.partition('<script crossorigin type="module">')
        library, call, props = rest.rpartition("CircuitsVis.render(")
        right = int(rows["right_label"].iloc[0])
        sections.append(
            f"<h2>Sequence {sequence}: {escape(' '.join(tokens))}, right label {right}</h2>\n"
            f"{before.replace('/>', '></div>')}\n<script>window.addEventListener('load', () => "
            f"{{ {call}{props.replace('</script>', '')} }});</script>"
        )
        if not script:
            raise ValueError("circuitsvis writes its pages otherwise than version 1.43 did")
    page = _PAGE.format(library=library, sections="\n".join(sections))
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def sequence_patterns(rows: pd.DataFrame) -> tuple[list[str], list[str], np.ndarray]:
    """Tokens, names of heads, and patterns [heads, rows, columns] of one sequence's entries."""
    n_tokens = int(rows["row"].max()) + 1
    tokens = rows.drop_duplicates("column").sort_values("column")["token"].astype(str).tolist()
    names, patterns = [], []
    for (layer, head), entries in rows.groupby(["layer", "head"]):
        pattern = np.zeros((n_tokens, n_tokens))
        pattern[entries["row"], entries["column"]] = entries["attention"]
        names.append(f"layer {layer} head {head}")
        patterns.append(pattern)
    return tokens, names, np.stack(patterns)


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Attention patterns of the induction-head study's main run</title>
<style>body {{ font-family: Helvetica, Arial, sans-serif; margin: 2em; }}</style>
</head>
<body>
<h1>Attention patterns at the end of the main run</h1>
<p>A and B are the classes of the two context exemplars, numbers their labels; the query is the
last token. Rows attend to columns.</p>
<script>{library}</script>
{sections}
</body>
</html>
"""
