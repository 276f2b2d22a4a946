"""The figures of chapters 2 and 3, on their tiny plans with made-up curves as published."""

import dataclasses
import importlib
import math
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from analyses.data_properties import runs as data_properties
from analyses.transience_at_scale import runs as transience_at_scale
from coopetition_interp.reporting.chapter import Chapter
from coopetition_interp.reporting.figure_file import FigureFile, figure_files
from coopetition_interp.reporting.pack import pack_study
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import NumberRule
from coopetition_interp.sweeps.plan import check_plan
from coopetition_interp.tasks.exemplar_label.features import gaussian_features, save_feature_file
from coopetition_interp.training import ConfigError
from coopetition_interp.training.machine import choose_device
from coopetition_interp.training.task import bind_clamps, check_evaluators
from tests.made_up_chapters_2_and_3 import make_study, make_sweep

ANALYSES = Path(__file__).parents[2] / "analyses"
STUDIES = ("data_properties", "transience_at_scale")
SETS = ((20, 5), (10, 10))
"""Classes and exemplars of clusters of tokens."""


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
def test_a_seed_that_lacks_a_run_tells_nothing(name, figure, incomplete):
    drawn = FigureFile.load(ANALYSES / name / f"{figure}.py").draw(incomplete[name])
    assert len(drawn.figure.data) > 0
    for name, claim in drawn.claims.items():
        if name == "Figure B.1":  # "from some initialisation": another one tells
            continue
        by_seed = [r.values if isinstance(r, NumberRule) else r.holds for r in claim.rules]
        assert claim.verdict == "undecided" or all(5 not in seeds for seeds in by_seed)


def test_an_unfinished_run_of_a_sweep_is_told_and_its_copy_tells_it_too(plans, tmp_path):
    plan = [run for run in plans["data_properties"] if run.about["role"] == "burstiness"]
    made = [run for run in plan if run.about["init_seed"] in (5, 6, 7)]
    sweep = make_sweep(made[1:], tmp_path / "sweep")
    sweep = Study(sweep.path, plan)
    packed = pack_study(sweep, tmp_path / "packed")
    assert made[0].name in packed.index.unfinished
    loaded = FigureFile.load(ANALYSES / "data_properties" / "fig2_2_burstiness.py")
    for study in (sweep, packed):
        slope = loaded.draw(study).rules[1]
        assert set(slope.values) == {5, 6, 7}  # the other planned seeds are not made at all
        assert math.isnan(slope.values[5])
        assert all(math.isfinite(slope.values[seed]) for seed in (6, 7))


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


def l2_part_of_runs(heights_and_ends):
    """The config of a run of `l2_part`, given ICL's height and end by the weight of `l2`'s runs."""
    planned = next(run for run in transience_at_scale.plan() if run.about["role"] == "l2_part")
    runs = {}
    for name in planned.needs:
        weight = float(name.split("/")[1].removeprefix("weight-"))
        height, end = heights_and_ends.get(weight, (0.5, 0.5))
        values = [0.5, *[height] * 9, *[end] * 10]
        metrics = pd.DataFrame({"sequences_seen": range(20), "in_context_accuracy": values})
        runs[name] = SimpleNamespace(metrics=metrics.assign(evaluator="icl"))
    return planned.resolve(runs)


def test_parts_are_penalised_at_the_weight_where_icl_falls_least():
    config = l2_part_of_runs({1e-4: (0.9, 0.6), 1e-3: (0.8, 0.7), 1e-2: (0.9, 0.7)})
    assert config.optimizer.l2 == 1e-3
    assert config.optimizer.l2_on == ("mlp",)


def test_a_weight_at_which_no_icl_comes_is_not_the_best():
    assert l2_part_of_runs({1e-4: (0.9, 0.6)}).optimizer.l2 == 1e-4


def test_no_best_penalty_is_told():
    with pytest.raises(ConfigError, match="stops rising, under no L2 penalty"):
        l2_part_of_runs({})


@pytest.mark.parametrize("name", STUDIES)
def test_a_folder_makes_a_chapter(name):
    assert Chapter.read(ANALYSES / name).needs_runs
    assert importlib.import_module(f"analyses.{name}").__doc__
