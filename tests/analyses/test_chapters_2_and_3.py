"""The figures of chapters 2 and 3, on their tiny plans with made-up curves as published."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses.data_properties import runs as data_properties
from analyses.transience_at_scale import runs as transience_at_scale
from coopetition_interp.reporting.chapter import Chapter
from coopetition_interp.reporting.figure_file import FigureFile, figure_files
from coopetition_interp.reporting.kept_table import write_table
from coopetition_interp.reporting.pack import pack_study
from coopetition_interp.reporting.packed_index import INDEX, METRICS, Index, PackedRun
from coopetition_interp.reporting.study import Study
from coopetition_interp.sweeps.plan import check_plan
from coopetition_interp.tasks.exemplar_label.features import gaussian_features, save_feature_file
from coopetition_interp.training import ConfigError, Run
from coopetition_interp.training.machine import choose_device
from coopetition_interp.training.run_directory import RunDirectory
from coopetition_interp.training.task import bind_clamps, check_evaluators

ANALYSES = Path(__file__).parents[2] / "analyses"
STUDIES = ("data_properties", "transience_at_scale")
EVERY = 200
SETS = ((20, 3), (16, 5))
"""Classes and exemplars of clusters of tokens."""


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
        from_none = about["init_seed"] == 8 and about["n_exemplars"] == 3
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
    start, end = (0.5, 0.95) if exponent >= 1 else (0.1, 0.4)
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


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Both tiny plans, with a file of token clusters."""
    folder = tmp_path_factory.mktemp("clusters")
    for seed in transience_at_scale.CLUSTERING_SEEDS:
        for n_classes, n_exemplars in SETS:
            bank = gaussian_features(n_classes, n_exemplars, d_feature=10, seed=seed)
            save_feature_file(bank, folder / f"{n_classes}x{n_exemplars}-seed-{seed}.safetensors")
    scale = dataclasses.replace(transience_at_scale.SCALES["tiny"], tokens=SETS, seeds=(5, 6, 7, 8))
    with pytest.MonkeyPatch.context() as patched:
        where = str(folder / "{n_classes}x{n_exemplars}-seed-{seed}.safetensors")
        patched.setattr(transience_at_scale, "TOKENS", where)
        patched.setitem(transience_at_scale.SCALES, "tiny", scale)
        yield {
            "data_properties": data_properties.plan("tiny"),
            "transience_at_scale": transience_at_scale.plan("tiny"),
        }


@pytest.fixture(scope="module")
def studies(plans, tmp_path_factory):
    return {name: make_study(plan, tmp_path_factory.mktemp(name)) for name, plan in plans.items()}


FIGURES = [(name, path.stem) for name in STUDIES for path in figure_files(ANALYSES / name)]


@pytest.mark.parametrize(("name", "figure"), FIGURES)
def test_curves_as_published_meet_every_rule(name, figure, studies, tmp_path):
    drawn = FigureFile.load(ANALYSES / name / f"{figure}.py").draw(studies[name])
    assert len(drawn.figure.data) > 0
    assert drawn.claim
    assert all(rule.statement in drawn.published for rule in drawn.rules)
    for rule in drawn.rules:
        values = getattr(rule, "values", None)
        if values is None:
            assert rule.holds, rule.statement
            assert all(rule.holds.values()), rule.statement
        else:
            assert rule.interval is not None, rule.statement
            assert rule.interval.n_seeds == len(values) >= 3, rule.statement
            over, mean = rule.side == "over", rule.interval.mean
            assert mean > rule.threshold if over else mean < rule.threshold, rule.statement
    assert all(path.stat().st_size for path in drawn.write(tmp_path, images=False))


@pytest.fixture(scope="module")
def incomplete(plans, tmp_path_factory):
    """Both studies without the last run of seed 5 of each role, kind of data and size."""
    studies = {}
    for name, plan in plans.items():
        last = {}
        for run in plan:
            told = [run.about.get(word) for word in ("role", "data")]
            size = run.about["n_exemplars"] if run.about["role"] == "tokens" else None
            if run.about["init_seed"] == 5:
                last[(*told, size)] = run.name
        studies[name] = make_study(plan, tmp_path_factory.mktemp(name), set(last.values()))
    return studies


@pytest.mark.parametrize(("name", "figure"), FIGURES)
def test_a_run_that_is_missing_leaves_every_claim_undecided(name, figure, incomplete):
    drawn = FigureFile.load(ANALYSES / name / f"{figure}.py").draw(incomplete[name])
    assert len(drawn.figure.data) > 0
    verdicts = {claim: judged.verdict for claim, judged in drawn.claims.items()}
    assert verdicts.pop("Figure B.1", "reproduced") == "reproduced"  # by another seed alone
    assert set(verdicts.values()) == {"undecided"}


def test_an_unfinished_run_of_a_sweep_is_told_and_its_copy_tells_it_too(plans, tmp_path):
    plan = [run for run in plans["transience_at_scale"] if run.about["role"] == "default"]
    sweep = make_sweep(plan[1:], tmp_path / "sweep")
    sweep = Study(sweep.path, plan)
    packed = pack_study(sweep, tmp_path / "packed")
    assert packed.index.unfinished == {plan[0].name: plan[0].about}
    loaded = FigureFile.load(ANALYSES / "transience_at_scale" / "fig3_2_transience.py")
    for study in (sweep, packed):
        assert [run.init_seed for run in study.runs("default")] == [6, 7, 8]
        transient = loaded.draw(study).rules[0]
        assert transient.holds == {5: None, 6: True, 7: True, 8: True}


def test_a_packed_study_keeps_what_some_runs_alone_have(plans, tmp_path):
    plan = [run for run in plans["data_properties"] if run.about["role"] == "labels"]
    sweep = make_sweep(plan, tmp_path / "sweep")
    columns = ("in_context_accuracy", "accuracy", "class_accuracy")
    packed = pack_study(sweep, tmp_path / "packed", columns)
    loaded = FigureFile.load(ANALYSES / "data_properties" / "fig2_4_labels.py")
    whole, again = loaded.draw(sweep), loaded.draw(packed)
    assert [rule.found for rule in whole.rules] == [rule.found for rule in again.rules]
    iwl = again.tables[""].query("evaluator == 'iwl' and n_labels > 1")
    assert (iwl["accuracy"] == iwl["class_accuracy"]).all()


@pytest.mark.parametrize("figure", ["fig2_5_classes", "fig3_3_depth"])
def test_runs_of_an_earlier_copy_stand_in(figure, plans, tmp_path):
    name = "data_properties" if figure.startswith("fig2") else "transience_at_scale"
    roles = ("burstiness", "classes", "default", "depth")
    plan = [run for run in plans[name] if run.about["role"] in roles]
    loaded = FigureFile.load(ANALYSES / name / f"{figure}.py")
    sweep = make_sweep(plan, tmp_path / "sweep")
    whole = loaded.draw(sweep)
    earlier = pack_study(sweep, tmp_path / "packed")
    (tmp_path / "fresh").mkdir()
    again = loaded.draw(Study(tmp_path / "fresh", plan, earlier=earlier))
    assert [rule.found for rule in whole.rules] == [rule.found for rule in again.rules]


@pytest.mark.parametrize("name", STUDIES)
def test_every_kind_of_run_can_be_begun(name, plans):
    begun = set()
    for planned in plans[name]:
        kind = tuple(planned.about.get(name) for name in ("role", "kind", "data"))
        if kind in begun or planned.needs:
            continue
        begun.add(kind)
        config = planned.config
        task = config.build()
        task.to(choose_device("cpu"))
        (held,) = bind_clamps(config, task).bound
        check_evaluators(config, task, held)


@pytest.mark.parametrize("scale", ["laptop", "published"])
def test_plans_are_in_order(scale):
    for runs in (data_properties, transience_at_scale):
        check_plan(runs.plan(scale))
        with pytest.raises(ConfigError, match="have no scale 'paper': choose from tiny, laptop"):
            runs.plan("paper")


def test_no_best_penalty_is_told(studies):
    chance = pd.DataFrame(
        {"sequences_seen": [0, 1], "evaluator": "icl", "in_context_accuracy": [0.5, 0.5]}
    )
    with pytest.raises(ConfigError, match="emerges under no L2 penalty"):
        transience_at_scale.best_weight({1e-4: [chance]})


@pytest.mark.parametrize("name", STUDIES)
def test_a_folder_makes_a_chapter(name):
    assert Chapter.read(ANALYSES / name).needs_runs
    assert importlib.import_module(f"analyses.{name}").__doc__
