"""A page of a main run's attention patterns at its end, on a few sequences, by circuitsvis.

It needs no network. A and B are the classes of the two context exemplars, numbers their labels; the
query is the last token. Rows attend to columns.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
from circuitsvis.attention import attention_heads

from analyses.induction_heads.heads import training_sequences
from analyses.induction_heads.runs import plan
from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.interventions import run_clamped_with_cache
from coopetition_interp.reporting.measure import measure
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.study import Study
from coopetition_interp.tasks.exemplar_label import ExemplarLabelRun
from coopetition_interp.tasks.exemplar_label.sequences import PairRole, Sequences


@measure(n_sequences=6)
def attention_patterns(run: ExemplarLabelRun, n_sequences: int) -> pd.DataFrame:
    """Patterns of all heads at the end, an entry per row, with the tokens' names."""
    model, sequences = run.model("last"), training_sequences(run, n_sequences)
    _, cache = run_clamped_with_cache(model, sequences, [])
    tables = []
    for layer in range(model.cfg.n_layers):
        patterns = cache["pattern", layer].numpy()
        axes = ("sequence", "head", "row", "column")
        index = pd.MultiIndex.from_product([range(n) for n in patterns.shape], names=axes)
        table = pd.DataFrame({"attention": patterns.ravel()}, index=index).reset_index()
        table.insert(1, "layer", layer)
        tables.append(table[table["column"] <= table["row"]])
    table = pd.concat(tables, ignore_index=True)
    texts = [token_texts(sequences, place) for place in range(len(sequences))]
    places = zip(table["sequence"], table["column"], strict=True)
    table.insert(5, "token", [texts[sequence][column] for sequence, column in places])
    table["right_label"] = sequences.right_labels.numpy()[table["sequence"]]
    return table


def token_texts(sequences: Sequences, place: int) -> list[str]:
    """A sequence in words: a letter for each class, the labels, and the query with a "?"."""
    letters = [chr(ord("A") + pair) for pair in range(sequences.n_pairs)]
    labels = [str(int(label)) for label in sequences.context_labels[place]]
    match = sequences.roles[place, :-1].tolist().index(int(PairRole.MATCH))
    pairs = [text for pair in zip(letters, labels, strict=True) for text in pair]
    return [*pairs, f"{letters[match]}?"]


def write_page(table: pd.DataFrame, path: Path) -> Path:
    """Writes the page: all heads' patterns on each sequence.

    Raises:
        OSError: No space or no permission.
    """
    sections, library = [], ""
    for sequence, rows in table.groupby("sequence"):
        tokens = rows.drop_duplicates("column").sort_values("column")["token"].astype(str).tolist()
        names, patterns = [], []
        for (layer, head), entries in rows.groupby(["layer", "head"]):
            pattern = np.zeros((len(tokens), len(tokens)))
            pattern[entries["row"], entries["column"]] = entries["attention"]
            names.append(f"layer {layer} head {head}")
            patterns.append(pattern)
        rendered = attention_heads(np.stack(patterns), tokens, names, max_value=1, min_value=0)
        # What circuitsvis gives holds the whole library each time: the page keeps it once.
        before, script, rest = rendered.local_src.partition('<script crossorigin type="module">')
        if not script:
            raise ValueError("circuitsvis writes its pages otherwise than version 1.43 did")
        library, call, props = rest.rpartition("CircuitsVis.render(")
        sections.append(
            f"<h2>Sequence {sequence}: {escape(' '.join(tokens))}, right label "
            f"{rows['right_label'].iloc[0]}</h2>\n{before.replace('/>', '></div>')}\n"
            f"<script>window.addEventListener('load', () => "
            f"{{ {call}{props.replace('</script>', '')} }});</script>"
        )
    title = f"Attention patterns of the main run of seed {table['init_seed'].iloc[0]}"
    with atomic_file(path) as temporary:
        temporary.write_text(
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f"<title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n"
            f"<p>{(__doc__ or '').partition('network. ')[2]}</p>\n"
            f"<script>{library}</script>\n" + "\n".join(sections) + "\n</body>\n</html>\n",
            encoding="utf-8",
        )
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the page of a study's first seed; exits with status 2 if it has no main run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a sweep, or a packed copy")
    parser.add_argument("--out", type=Path, help="folder for the page (RUN/figures)")
    options = parser.parse_args(arguments)
    try:
        study = Study(options.run, plan())
        seed = study.require("main")[0].init_seed
        table = study.measured(attention_patterns, "main", init_seed=seed)
    except StudyError as error:
        parser.error(str(error))
    folder = options.out or options.run / "figures"
    print(f"wrote {write_page(table, folder / 'attention_patterns.html')}")


if __name__ == "__main__":
    main()
