"""Tables of the coopetition study about layers: what each computes, and what is shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from coopetition_interp.analysis.ablation import (
    layer_to_layer_ablation,
    layer_to_output_cut,
)
from coopetition_interp.analysis.attention_strengths import label_attention
from coopetition_interp.analysis.checkpoints import (
    over_checkpoints,
    spread_checkpoints,
    strengths_over_checkpoints,
)
from coopetition_interp.analysis.landmarks import Landmarks, landmarks
from coopetition_interp.analysis.weight_swaps import weight_swap
from coopetition_interp.interventions import (
    AblateEmbedding,
    AblateHeads,
    Clamp,
    Preserve,
    layer_heads,
)
from coopetition_interp.studies.coopetition_runs import first_and_seeds, of_seeds
from coopetition_interp.studies.study import Study, StudyTable
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import Sequences, summarise
from coopetition_interp.training import Run

N_CHECKPOINTS = 100
"""Checkpoints that curves over a run's checkpoints have, evenly spread over those it kept."""

N_SWAPS = 200
"""The same of weight swaps, whose curves are compared with those of the run itself."""

N_ATTENTION = 500
"""Sequences of each evaluator that attention is averaged over at each checkpoint."""

N_ABLATION = 2000
"""Sequences of each evaluator that ablations are scored on."""

IN_CONTEXT_EVALUATORS = ("train", "icl", "ciwl", "flip")
ABLATION_EVALUATORS = ("ciwl", "train", "flip")

FADED = 0.1
"""Flip's in-context accuracy under which in-context learning counts as gone."""


def per_seed(
    name: str, compute: Callable[[Run], pd.DataFrame], run_name: str = "main"
) -> StudyTable:
    """A table of the same run of every initialisation that is there, with a column `seed`.

    Args:
        name: The table's.
        compute: Makes the part of one run.
        run_name: The run's name in the sweep, without the seed's prefix.
    """

    def of_study(study: Study) -> pd.DataFrame:
        tables = []
        for seed, run in of_seeds(study, run_name).items():
            table = compute(study.run(run))
            table.insert(0, "seed", seed)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    return StudyTable(name, lambda study: first_and_seeds(study, run_name), of_study)


def first_sequences(run: Run, names: tuple[str, ...], n: int) -> dict[str, Sequences]:
    """The first so many sequences of some of a run's evaluators."""
    return {name: run.evaluation_sequences[name][:n] for name in names}


def _layer_ablations(run: Run) -> pd.DataFrame:
    """Intact, layer 0 cut from the output, and from layer 1's queries, keys or values."""
    model = run.model("last")
    tables = []
    for name, sequences in first_sequences(run, ABLATION_EVALUATORS, N_ABLATION).items():
        rows = {"nothing": _in_context_accuracy(model, sequences)}
        rows["output"] = _in_context_accuracy(model, sequences, layer_to_output_cut(model, 0))
        cut = layer_to_layer_ablation(model, sequences).set_index("composition")
        rows |= cut["in_context_accuracy"].to_dict()
        table = pd.DataFrame({"cut": list(rows), "in_context_accuracy": list(rows.values())})
        table.insert(0, "evaluator", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _embedding_ablations(run: Run) -> pd.DataFrame:
    """All heads ablated, and the embedding with patterns and values preserved."""
    model = run.model("last")
    heads = [head for layer in range(model.cfg.n_layers) for head in layer_heads(model.cfg, layer)]
    conditions: dict[str, list[Clamp]] = {
        "nothing": [],
        "heads": [AblateHeads(heads)],
        "embedding": [Preserve(patterns=True, values=True), AblateEmbedding()],
    }
    rows = [
        {
            "evaluator": name,
            "ablated": ablated,
            "in_context_accuracy": _in_context_accuracy(model, sequences, clamps),
        }
        for name, sequences in first_sequences(run, ("ciwl", "train"), N_ABLATION).items()
        for ablated, clamps in conditions.items()
    ]
    return pd.DataFrame(rows)


def _in_context_accuracy(
    model: ExemplarLabelTransformer, sequences: Sequences, clamps: Sequence[Clamp] = ()
) -> float:
    scores = score_model(model, sequences, clamps, metrics="in_context")
    return summarise(scores)["in_context_accuracy"]


def _induction_strength(run: Run) -> pd.DataFrame:
    """Attention delta of layer 1's heads on Flip."""
    sequences = first_sequences(run, ("flip",), N_ATTENTION)["flip"]
    table = strengths_over_checkpoints(
        run, sequences, checkpoints=spread_checkpoints(run, N_CHECKPOINTS)
    )
    layer_1 = table[table["layer"] == 1]
    return layer_1[["sequences_seen", "head", "induction_strength"]].reset_index(drop=True)


def _label_attention(run: Run) -> pd.DataFrame:
    """Layer 0's attention from label tokens to the previous token and to themselves."""

    def measure(
        model: ExemplarLabelTransformer, sequences: Mapping[str, Sequences]
    ) -> pd.DataFrame:
        tables = []
        for name, some in sequences.items():
            table = label_attention(model, some)
            layer_0 = table[table["layer"] == 0]
            mean = layer_0.groupby(["head", "to"], as_index=False, sort=False)["attention"].mean()
            mean.insert(0, "evaluator", name)
            tables.append(mean)
        return pd.concat(tables, ignore_index=True)

    return over_checkpoints(
        run,
        first_sequences(run, IN_CONTEXT_EVALUATORS, N_ATTENTION),
        measure,
        spread_checkpoints(run, N_CHECKPOINTS),
    )


def first_half_moments(found: Landmarks, flip: pd.DataFrame) -> dict[str, float]:
    """When Figure 3c fixes the first half: Flip's peak, its crossing, and when it has faded.

    The paper's 4.25M, 7.75M and 15M are such moments of its run.

    Args:
        found: Landmarks of the run.
        flip: Its Flip evaluations: `sequences_seen`, `in_context_accuracy`.

    Returns:
        Sequences seen, by the moment's name; without those that did not come.
    """
    moments: dict[str, float] = {}
    if found.flip_peak is None:
        return moments
    moments["Flip's peak"] = found.flip_peak.sequences_seen
    if found.crossing is not None:
        moments["crossing"] = found.crossing
        late = flip[flip["sequences_seen"] > found.crossing]
        faded = late[late["in_context_accuracy"] < FADED]
        if len(faded):
            moments["faded"] = float(faded["sequences_seen"].iloc[0])
    return moments


def _weight_swaps(run: Run) -> pd.DataFrame:
    """In-context accuracy with one half of the network fixed to a checkpoint of the same run.

    `fixed` is the "second half", to the end, or the "first half", to the moments of
    `first_half_moments` and from there on.
    """
    sequences = {name: run.evaluation_sequences[name] for name in IN_CONTEXT_EVALUATORS}
    metrics = run.metrics
    flip = metrics[metrics["evaluator"] == "flip"]
    kept = spread_checkpoints(run, N_SWAPS)
    second = weight_swap(run, sequences, fixed="second half", fixed_at=kept[-1], checkpoints=kept)
    tables = [second.assign(moment="end")]
    for moment, place in first_half_moments(landmarks(metrics), flip).items():
        at = run.nearest_checkpoint(place)
        later = [seen for seen in kept if seen >= at]
        table = weight_swap(run, sequences, fixed="first half", fixed_at=at, checkpoints=later)
        tables.append(table.assign(moment=moment))
    return pd.concat(tables, ignore_index=True)


LAYER_ABLATIONS = per_seed("layer_ablations", _layer_ablations)
EMBEDDING_ABLATIONS = per_seed("embedding_ablations", _embedding_ablations)
INDUCTION_STRENGTH = per_seed("induction_strength", _induction_strength)
LABEL_ATTENTION = per_seed("label_attention", _label_attention)
WEIGHT_SWAPS = per_seed("weight_swaps", _weight_swaps)

LAYER_TABLES = (
    LAYER_ABLATIONS,
    EMBEDDING_ABLATIONS,
    INDUCTION_STRENGTH,
    LABEL_ATTENTION,
    WEIGHT_SWAPS,
)
