"""Made-up curves of chapters 2 and 3 as published, as a packed study and as a sweep."""

import numpy as np
import pandas as pd

from coopetition_interp.reporting.kept_table import write_table
from coopetition_interp.reporting.packed_index import INDEX, METRICS, Index, PackedRun
from coopetition_interp.reporting.study import Study
from coopetition_interp.training import Run
from coopetition_interp.training.run_directory import RunDirectory

EVERY = 200


def stays(height, start=0.2, end=0.6):
    """Chance up to `start` of the run, then up to its height at `end`."""
    return [(0, 0.5), (start, 0.5), (end, height), (1, height)]


def fades(height, end, peak=0.5):
    return [(0, 0.5), (0.5 * peak, 0.5), (peak, height), (1, end)]


def rises(end):
    return [(0, 0.0), (1, end)]


CHANCE = [(0, 0.5), (1, 0.5)]


def as_published(about):
    """Corners of ICL's and IWL's curves of a run, places as shares of the run."""
    role = about["role"]
    if role == "burstiness":
        p = about["p_bursty"]
        icl = {0.0: CHANCE, 0.5: fades(0.65, 0.56), 0.75: fades(0.7, 0.64), 0.9: stays(0.8)}
        return icl.get(p, stays(0.95)), rises(0.8 - 0.6 * p)
    if role == "variation":
        emerges = about["noise"] >= (0.2 if about["p_bursty"] == 1 else 0.4)
        height = 0.6 + 0.3 * about["noise"]
        return stays(height) if emerges else CHANCE, rises(0.8 - 0.5 * about["noise"])
    if role == "labels":
        return stays(0.6 + 0.05 * about["n_labels"]), rises(0.4)
    if role == "classes":
        height = {10: 0.5, 20: 0.56, 60: 0.9}[about["n_classes"]]
        return stays(height), rises({10: 0.95, 20: 0.9, 60: 0.1}[about["n_classes"]])
    if role == "zipf" and "iwl_by_law" not in about:
        return _zipf(about["exponent"])
    if role == "architecture":
        height = 0.9 if about["kind"] == "transformer" and about["draw"] else 0.51
        return stays(height), rises(0.6 if about["kind"] == "transformer" else 0.4)
    if role == "default":
        return fades(0.85, 0.6, 0.25), rises(0.2)
    if role == "depth":
        sign = 1 if about["init_seed"] % 2 else -1
        return fades(0.85 + 0.02 * sign, 0.76, 0.5 + 0.1 * sign), rises(0.2)
    if role == "drawings":
        return fades(0.75, 0.68), rises(0.2)
    if role == "sizes":
        return (fades(0.95, 0.9) if about["n_classes"] == 60 else fades(0.8, 0.5)), rises(0.2)
    if role == "tokens":
        from_none = about["init_seed"] == 8 and about["n_exemplars"] == 5
        return (CHANCE if from_none else fades(0.7, 0.6)), rises(0.1)
    if role == "l2":
        if about["weight"] > 1e-3:
            return CHANCE, rises(0.0)
        return stays(0.85), [(0, 0.0), (0.5, 0.2), (1, 0.1)]
    if role == "width":
        wide = np.log2(about["d_model"] / 32)
        if about["data"] == "icl_only":
            return stays(0.99), rises(0.0)
        return fades(0.85 + 0.05 * wide, 0.6), rises(0.1 + 0.05 * wide)
    assert role == "l2_part"
    return (fades(0.85, 0.6) if about["part"] == "attention" else stays(0.85)), rises(0.2)


def _zipf(exponent):
    if exponent >= 2:
        return CHANCE, rises(0.9)
    start, end = (0.5, 0.8) if exponent >= 1 else (0.1, 0.4)
    return stays(0.95 - 0.1 * exponent, start, end), rises(0.1 + 0.75 * min(exponent, 1.0))


def made_up_metrics(config, about):
    """Metrics of every evaluator of a run's config."""
    icl, iwl = as_published(about)
    seen = np.arange(0, config.n_sequences + 1, EVERY)
    share = seen / config.n_sequences
    nudge = 0.001 * (about["init_seed"] % 3)
    tables = []
    for evaluator in config.evaluators:
        corners = iwl if evaluator.name.startswith("iwl") else icl
        curve = np.interp(share, *np.transpose(corners)) + nudge
        if evaluator.name == "iwl_rare":
            curve = np.full(len(seen), 0.001)
        if evaluator.name == "icl":
            curve = curve + 0.02
        table = {
            "sequences_seen": seen,
            "evaluator": evaluator.name,
            "loss": 2 - curve,
            "accuracy": curve,
            "in_context_accuracy": np.nan if evaluator.name.startswith("iwl") else curve,
            "n_sequences": evaluator.n_sequences,
            "training_loss": 3 - share,
        }
        if config.sequences.n_labels_per_class > 1:
            table["class_accuracy"] = curve + 0.01
        if config.optimizer.l2:
            table["l2_penalty"] = np.full(len(seen), 10 * config.optimizer.l2**0.25)
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


class MadeUpRun(Run):
    """A run whose metrics are made up from its config and what it is (`resolved`)."""

    @property
    def metrics(self):
        return made_up_metrics(self.config, self.resolved)


def make_study(plan, path, lacking=()):
    """The plan's runs as a packed study, without those named in `lacking`."""
    runs, metrics = {}, []
    for planned in plan:
        config = planned.resolve({need: runs[need] for need in planned.needs})
        run = MadeUpRun(path, config, dict(planned.about))
        runs[planned.name] = run
        if planned.name not in lacking:
            metrics.append(run.metrics.assign(run=planned.name))
    write_table(pd.concat(metrics, ignore_index=True), path / METRICS)
    entries = {
        name: PackedRun(about=run.resolved, config=run.config.to_dict(), digest="0" * 16)
        for name, run in runs.items()
        if name not in lacking
    }
    unfinished = {name: run.resolved for name, run in runs.items() if name in lacking}
    index = Index(at_published_scale=False, runs=entries, unfinished=unfinished)
    (path / INDEX).write_text(index.model_dump_json())
    return Study(path)


def make_sweep(plan, path):
    """The plan's runs as a sweep leaves them."""
    for planned in plan:
        with RunDirectory(path / planned.name) as directory:
            sizes = {"d_feature": 10, "n_labels": 40}
            machine = {"device": "cpu", "n_threads": 1, "compile": False}
            directory.write_config(planned.config, {**sizes, **machine})
            directory.write_metrics(made_up_metrics(planned.config, planned.about))
            directory.write_status("finished", planned.config.n_sequences)
    return Study(path, plan)
