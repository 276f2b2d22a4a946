"""Tables of the induction-head study that are computed from checkpoints' weights."""

from __future__ import annotations

from functools import partial

import pandas as pd

from coopetition_interp.analysis.ablation import (
    ablate_preserving,
    all_but_one_ablations,
    head_to_head_connectivity,
    layer_to_output_cut,
    single_head_ablations,
)
from coopetition_interp.analysis.attention_strengths import induction_strength
from coopetition_interp.analysis.checkpoints import (
    metrics_over_checkpoints,
    spread_checkpoints,
    strengths_over_checkpoints,
)
from coopetition_interp.analysis.mistakes import (
    heads_on_mistakes_of,
    mistake_rates_by_head_and_label,
)
from coopetition_interp.analysis.perfected_heads import Perfected, perfected_heads
from coopetition_interp.analysis.weight_composition import composition_scores
from coopetition_interp.interventions import layer_heads, run_clamped_with_cache
from coopetition_interp.studies.induction_curves import (
    CLAMPS,
    curve_shapes,
    learning_time,
    split_curves,
    training_curve,
)
from coopetition_interp.studies.induction_heads_of import (
    HEADS,
    previous_token_heads,
    strongest_heads,
)
from coopetition_interp.studies.study import Study, StudyTable
from coopetition_interp.sweeps.induction_heads import MAIN_SEED, N_HEADS, OTHER_SEEDS
from coopetition_interp.tasks.exemplar_label.sequences import (
    PairRole,
    Sequences,
    make_evaluation_sequences,
)
from coopetition_interp.training import Run

N_CHECKPOINTS = 200
"""Checkpoints that curves over a run's checkpoints have, evenly spread over those it kept."""

N_PROGRESS = 1000
"""Sequences that each of them is scored on."""

N_ABLATION = 2000
"""Sequences that one network's heads are ablated on."""

N_MISTAKES = 20_000
"""Sequences that mistakes are counted on: the strongest heads make few."""

N_SHOWN = 6
"""Sequences whose attention patterns are kept."""

PROGRESS_CLAMPS = ("step-1", "match")
"""Clamped steps that Figure 4.8 also holds on checkpoints."""


def training_sequences(run: Run, n_sequences: int) -> Sequences:
    """Fixed sequences made as in a run's training.

    Args:
        run: The run.
        n_sequences: How many.
    """
    train = next(each for each in run.config.evaluators if each.name == "train")
    made = make_evaluation_sequences(
        run.bank,
        run.split,
        [train.replace(n_sequences=n_sequences)],
        seed=run.config.evaluation_seed,
        n_labels=run.resolved["n_labels"],
    )
    return made["train"]


def _strengths(study: Study) -> pd.DataFrame:
    main = study.run("main")
    sequences = training_sequences(main, N_PROGRESS)
    moments = spread_checkpoints(main, N_CHECKPOINTS)
    table = strengths_over_checkpoints(main, sequences, checkpoints=moments)
    layer_1 = table[table["layer"] == 1]
    return layer_1[["sequences_seen", "head", "induction_strength"]]


def _layer_ablations(study: Study) -> pd.DataFrame:
    main = study.run("main")
    measure = partial(
        metrics_over_checkpoints,
        main,
        training_sequences(main, N_PROGRESS),
        checkpoints=spread_checkpoints(main, N_CHECKPOINTS),
        compile=False,
    )
    model = main.model("first")
    intact = measure()
    tables = []
    for layer in range(2):
        cut = measure(layer_to_output_cut(model, layer))
        table = cut[["sequences_seen", "loss", "accuracy"]].copy()
        table.insert(1, "cut_layer", layer)
        for metric in ("loss", "accuracy"):
            table[f"{metric}_change"] = cut[metric] - intact[metric]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _head_ablations(study: Study) -> pd.DataFrame:
    main = study.run("main")
    model, sequences = main.model("last"), training_sequences(main, N_ABLATION)
    tables = {
        "this head": single_head_ablations(model, sequences),
        "all other heads": all_but_one_ablations(model, sequences),
    }
    table = pd.concat([t.assign(ablated=name) for name, t in tables.items()], ignore_index=True)
    strengths = study.table(HEADS).query("layer == 1").set_index("head")["induction_strength"]
    table["induction_strength"] = table["head"].map(strengths)
    columns = ["head", "induction_strength", "ablated", "accuracy", "loss"]
    return table[[*columns, "accuracy_change", "loss_change"]]


def _progress_runs(study: Study) -> list[str]:
    alone = f"single-head/head-{strongest_heads(study)[0]}"
    return [alone, *(f"clamps/{steps}" for steps in PROGRESS_CLAMPS)]


def _progress_measures(study: Study) -> pd.DataFrame:
    """The clamps of the clamped runs, held on the checkpoints of the run without them."""
    alone = study.run(_progress_runs(study)[0])
    sequences = training_sequences(alone, N_PROGRESS)
    tables = []
    for steps in PROGRESS_CLAMPS:
        clamps = study.config(f"clamps/{steps}").clamps
        table = metrics_over_checkpoints(
            alone, sequences, clamps, spread_checkpoints(alone, N_CHECKPOINTS), compile=False
        )
        columns = ["sequences_seen", "loss", "accuracy", "p_right_in_context"]
        tables.append(table[columns].assign(curve=steps))
    return pd.concat(tables, ignore_index=True)


def _progress_shapes(study: Study) -> pd.DataFrame:
    """Shapes of the two clamped runs' curves and of the two progress measures."""
    trained = split_curves(study.table(CLAMPS))
    measured = split_curves(study.table(PROGRESS_MEASURES))
    curves = {f"clamped while training: {steps}": trained[steps] for steps in PROGRESS_CLAMPS}
    curves |= {f"progress measure: {steps}": measured[steps] for steps in PROGRESS_CLAMPS}
    return curve_shapes(curves)


def _perfected(study: Study) -> pd.DataFrame:
    main = study.run("main")
    table = perfected_heads(main.model("last"), training_sequences(main, N_ABLATION))
    return table[["head", "perfected", "accuracy", "loss"]]


def _mistakes(study: Study) -> pd.DataFrame:
    main = study.run("main")
    sequences = training_sequences(main, N_MISTAKES)
    return mistake_rates_by_head_and_label(main.model("last"), sequences)


def _on_mistakes(study: Study, perfected: Perfected) -> pd.DataFrame:
    main = study.run("main")
    sequences = training_sequences(main, N_MISTAKES)
    strongest = strongest_heads(study)[0]
    table = heads_on_mistakes_of(main.model("last"), sequences, strongest, perfected=perfected)
    table["n_sequences"] = len(sequences)
    return table


def _connectivity(study: Study) -> pd.DataFrame:
    main = study.run("main")
    table = head_to_head_connectivity(main.model("last"), training_sequences(main, N_PROGRESS))
    names = ["from_head", "to_head", "ablated", "preserved"]
    return table[[*names, "accuracy", "loss", "accuracy_change", "loss_change"]]


def _composition(study: Study) -> pd.DataFrame:
    return composition_scores(study.run("main").model("last"))


def _layer_0_heads(study: Study) -> pd.DataFrame:
    main = study.run("main")
    model = main.model("last")
    previous_token = [(0, head) for head in previous_token_heads(study)]
    everything = layer_heads(model.cfg, 0)
    sets = {
        "previous-token heads": previous_token,
        "the rest": [head for head in everything if head not in previous_token],
        "all": everything,
    }
    sets = {name: heads for name, heads in sets.items() if heads}
    table = ablate_preserving(model, training_sequences(main, N_ABLATION), sets)
    which = {name: " ".join(str(head) for _, head in heads) for name, heads in sets.items()}
    table.insert(1, "which", table["heads"].map(which))
    return table[["heads", "which", "preserved", "accuracy", "loss", "accuracy_change"]]


def _seed_runs(seed: int) -> list[str]:
    where = "" if seed == MAIN_SEED else f"seeds/seed-{seed}/"
    return [f"{where}main", *(f"{where}single-head/head-{head}" for head in range(N_HEADS))]


def seeds_there(study: Study) -> list[int]:
    """Seeds of which the main run and all single-head runs are finished."""
    seeds = (MAIN_SEED, *OTHER_SEEDS)
    return [seed for seed in seeds if not study.missing(_seed_runs(seed))]


def _all_seed_runs(study: Study) -> list[str]:
    seeds = seeds_there(study) or [MAIN_SEED]
    return [name for seed in seeds for name in _seed_runs(seed)]


def _seeds(study: Study) -> pd.DataFrame:
    tables = []
    for seed in seeds_there(study):
        main, *singles = _seed_runs(seed)
        run = study.run(main)
        model, sequences = run.model("last"), training_sequences(run, N_ABLATION)
        strengths = induction_strength(model, sequences).query("layer == 1").set_index("head")
        alone = all_but_one_ablations(model, sequences)[["head", "accuracy", "loss"]]
        table = alone.rename(columns={"accuracy": "accuracy_alone", "loss": "loss_alone"})
        table.insert(0, "seed", seed)
        table.insert(2, "induction_strength", table["head"].map(strengths["strength"]))
        curves = [training_curve(study.metrics(name)) for name in singles]
        table["learning_time"] = [
            learning_time(curve["sequences_seen"].to_numpy(), curve["loss"].to_numpy())
            for curve in curves
        ]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _attention_patterns(study: Study) -> pd.DataFrame:
    """Patterns of the main run's last checkpoint on a few sequences, an entry per row."""
    main = study.run("main")
    model, sequences = main.model("last"), training_sequences(main, N_SHOWN)
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


def _main_only(study: Study) -> list[str]:
    return ["main"]


STRENGTHS = StudyTable("fig4_3_strengths", _main_only, _strengths)
LAYER_ABLATIONS = StudyTable("fig4_4_layer_ablations", _main_only, _layer_ablations)
HEAD_ABLATIONS = StudyTable("fig4_5_head_ablations", _main_only, _head_ablations)
PROGRESS_MEASURES = StudyTable("fig4_8_progress_measures", _progress_runs, _progress_measures)
PROGRESS_SHAPES = StudyTable(
    "fig4_8_shapes", lambda study: [*CLAMPS.runs(study), *_progress_runs(study)], _progress_shapes
)
PERFECTED = StudyTable("figC_1_perfected", _main_only, _perfected)
MISTAKES = StudyTable("figC_1_mistakes", _main_only, _mistakes)
CONNECTIVITY = StudyTable("figC_3_connectivity", _main_only, _connectivity)
COMPOSITION = StudyTable("figC_3_composition", _main_only, _composition)
SEEDS = StudyTable("figC_6_seeds", _all_seed_runs, _seeds)
ON_MISTAKES = StudyTable("tableC_1", _main_only, partial(_on_mistakes, perfected="nothing"))
ON_COPY_MISTAKES = StudyTable("tableC_2", _main_only, partial(_on_mistakes, perfected="match"))
LAYER_0_HEADS = StudyTable("tableC_3", _main_only, _layer_0_heads)
ATTENTION_PATTERNS = StudyTable("attention_patterns", _main_only, _attention_patterns)

WEIGHT_TABLES = (
    HEADS,
    STRENGTHS,
    LAYER_ABLATIONS,
    HEAD_ABLATIONS,
    PROGRESS_MEASURES,
    PROGRESS_SHAPES,
    PERFECTED,
    MISTAKES,
    CONNECTIVITY,
    COMPOSITION,
    SEEDS,
    ON_MISTAKES,
    ON_COPY_MISTAKES,
    LAYER_0_HEADS,
    ATTENTION_PATTERNS,
)
"""All of these, in the order of the figures."""
