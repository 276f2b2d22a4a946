"""Tables of the coopetition study about heads: what they attend to, copy, and do together."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from coopetition_interp.analysis.attention_strengths import (
    attention_deltas,
    query_attention,
    with_right_label_in,
)
from coopetition_interp.analysis.head_temperature import Active, temperature_response
from coopetition_interp.analysis.non_additivity import non_additivity, pairwise_non_additivity
from coopetition_interp.analysis.skip_trigrams import copying_by_delta
from coopetition_interp.studies.coopetition_layers import first_sequences, per_seed
from coopetition_interp.studies.study import StudyTable
from coopetition_interp.training import Run

N_COPYING = 1000
"""CIWL sequences that each head's sweep is scored on."""

N_TEMPERATURE = 1000
"""Training sequences that each temperature is scored on."""

N_DELTAS = 1000
"""Training sequences whose attention deltas are kept."""

N_NON_ADDITIVITY = 2000
"""Training sequences that heads' effects are measured on."""


def _query_attention(run: Run) -> pd.DataFrame:
    """The last layer's attention from the query on CIWL, by where the right label is."""
    model, ciwl = run.model("last"), run.evaluation_sequences["ciwl"]
    tables = []
    for pair in range(ciwl.n_pairs):
        table = query_attention(model, with_right_label_in(ciwl, pair), by="position")
        last = table[table["layer"] == model.cfg.n_layers - 1].drop(columns="layer")
        last = last.rename(columns={"to": "position"})
        last.insert(0, "right_label_at", 2 * pair + 1)
        tables.append(last)
    return pd.concat(tables, ignore_index=True)


def _copying(run: Run) -> pd.DataFrame:
    sequences = first_sequences(run, ("ciwl",), N_COPYING)["ciwl"]
    return copying_by_delta(run.model("last"), sequences)


def _deltas(run: Run) -> pd.DataFrame:
    """Attention deltas of the last layer's heads on training sequences."""
    model = run.model("last")
    table = attention_deltas(model, first_sequences(run, ("train",), N_DELTAS)["train"])
    last = table[table["layer"] == model.cfg.n_layers - 1]
    return last[["sequence", "head", "delta"]].reset_index(drop=True)


def _temperature(run: Run) -> pd.DataFrame:
    sequences = first_sequences(run, ("train",), N_TEMPERATURE)["train"]
    how: tuple[Active, ...] = ("only writer", "alone", "all")
    return temperature_response(run.model("last"), sequences, active=how, metrics="in_context")


def _non_additivity(run: Run) -> pd.DataFrame:
    sequences = first_sequences(run, ("train",), N_NON_ADDITIVITY)["train"]
    return non_additivity(run.model("last"), sequences)


def _pairwise(run: Run) -> pd.DataFrame:
    sequences = first_sequences(run, ("train",), N_NON_ADDITIVITY)["train"]
    return pairwise_non_additivity(run.model("last"), sequences)


def _of_main(name: str, compute: Callable[[Run], pd.DataFrame]) -> StudyTable:
    return StudyTable(name, lambda study: ["main"], lambda study: compute(study.run("main")))


QUERY_ATTENTION = per_seed("query_attention", _query_attention)
COPYING = per_seed("copying", _copying)
NON_ADDITIVITY = per_seed("non_additivity", _non_additivity)
PAIRWISE_NON_ADDITIVITY = _of_main("pairwise_non_additivity", _pairwise)
TEMPERATURE = _of_main("head_temperature", _temperature)
DELTAS = _of_main("attention_deltas", _deltas)
ONE_LAYER_ATTENTION = per_seed("one_layer_attention", _query_attention, "one-layer")
ONE_LAYER_COPYING = per_seed("one_layer_copying", _copying, "one-layer")

HEAD_TABLES = (
    QUERY_ATTENTION,
    COPYING,
    NON_ADDITIVITY,
    PAIRWISE_NON_ADDITIVITY,
    TEMPERATURE,
    DELTAS,
    ONE_LAYER_ATTENTION,
    ONE_LAYER_COPYING,
)
