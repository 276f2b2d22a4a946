"""The coopetition plan holds the paper's runs, and each of them can be made."""

import dataclasses
from pathlib import Path

import pytest
import torch
from induction_circuit import induction_run

from coopetition_interp.interventions import AblateHeads, BlockPreviousToken, GraftOut, bind
from coopetition_interp.sweeps import coopetition_plan, only_named, run_sweep
from coopetition_interp.sweeps.coopetition import SCALES, moment_name
from coopetition_interp.sweeps.sweep import check_plan
from coopetition_interp.tasks.exemplar_label.features import FeatureFile
from coopetition_interp.training import ConfigError, Run, RunConfig, load_run
from coopetition_interp.training.run_directory import RunDirectory
from coopetition_interp.training.task import build_task

MILLION = 1_000_000
SEED_PREFIXES = ("", "seeds/init-6/", "seeds/init-7/")


class Done:
    def __init__(self, value):
        self.value = value

    def done(self) -> bool:
        return True

    def result(self):
        return self.value


class InThisProcess:
    def submit(self, function, *arguments):
        return Done(function(*arguments))


def by_name(preset_name):
    return {planned.name: planned for planned in coopetition_plan(preset_name)}


def changed_fields(config, other):
    """Names of the fields in which two configs differ, but for `name`."""
    fields = {field.name for field in dataclasses.fields(config)} - {"name"}
    return {name for name in fields if getattr(config, name) != getattr(other, name)}


@pytest.mark.parametrize("preset_name", SCALES)
def test_plans_are_consistent_and_their_configs_survive_json(preset_name):
    plan = coopetition_plan(preset_name)
    check_plan(plan)
    direct = [planned for planned in plan if isinstance(planned.config, RunConfig)]
    assert all(planned.needs for planned in plan if planned not in direct)
    for planned in direct:
        assert not planned.needs
        config = planned.resolve({})
        assert RunConfig.from_dict(config.to_dict()) == config
        assert config.name == planned.name


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match="no preset 'induction': choose from tiny, laptop"):
        coopetition_plan("induction")


def test_given_features_replace_those_of_every_run():
    features = FeatureFile(path="features.h5")
    for planned in coopetition_plan("laptop", features):
        if isinstance(planned.config, RunConfig):
            unrotated = "1600x" in planned.name
            expected = features.replace(transforms="unrotated")
            assert planned.config.features == (expected if unrotated else features)


def test_every_kind_of_run_is_there_for_three_initialisations():
    for preset_name, scale in SCALES.items():
        plan = by_name(preset_name)
        for prefix in SEED_PREFIXES:
            graft_from, resume_from = scale.graft_from, scale.resume_from
            if prefix:
                graft_from = scale.seeds_graft_from or graft_from
                resume_from = scale.seeds_resume_from or resume_from
            names = ["main", "ciwl_only", "icl_only", "grafts/main-end", "matched", "one-layer"]
            names += ["previous-token-blocked", "previous-token-heads-ablated"]
            names += [f"grafts/ciwl-only-{moment_name(at)}" for at in graft_from]
            names += [f"resumed/ciwl-only-{moment_name(at)}" for at in resume_from]
            assert {prefix + name for name in names} <= plan.keys()


# The paper's scale (section 2, Appendix B) -------------------------------------------------


@pytest.fixture(scope="module")
def paper():
    return by_name("paper")


def test_main_run_of_the_paper(paper):
    main = paper["main"].config
    assert main.n_sequences == 64 * MILLION
    assert main.checkpoint_at.every == main.evaluate_at.every == 50_000
    assert (main.model.init_seed, main.data_seed) == (5, 2)
    assert main.sequences.kind == "bursty"
    assert main.optimizer.learning_rate == 1e-5
    assert main.classes.n_train == 12_800
    assert main.clamps == ()
    assert {(e.name, e.n_sequences) for e in main.evaluators} == {
        (name, 5_000) for name in ("train", "icl", "ciwl", "flip", "iwl")
    }


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("ciwl_only", {"sequences": {"kind": "ciwl_only"}}),
        ("icl_only", {"sequences": {"kind": "icl_only"}}),
        ("matched", {"sequences": {"kind": "matched"}}),
        ("one-layer", {"model": {"n_layers": 1}}),
        ("rotary", {"model": {"positions": "rotary", "position_base": 30.0}}),
        ("sinusoidal", {"model": {"positions": "sinusoidal", "position_base": 30.0}}),
        ("seeds/init-6/main", {"model": {"init_seed": 6}}),
        ("seeds/init-7/main", {"model": {"init_seed": 7}}),
        ("seeds/data-3/main", {"data_seed": 3}),
        ("seeds/data-4/main", {"data_seed": 4}),
        ("long", {"n_sequences": 320 * MILLION}),
        ("sizes/12800x5", {"classes": {"n_train": 12_800, "n_train_exemplars": 5}}),
        ("mlps/12800x5", {"classes": {"n_train_exemplars": 5}, "model": {"mlps": True}}),
        ("mlps/12800x20", {"classes": {"n_train_exemplars": 20}, "model": {"mlps": True}}),
    ],
)
def test_runs_that_differ_from_main_in_one_thing(paper, name, fields):
    main, config = paper["main"].config, paper[name].config
    assert config.n_sequences == fields.get("n_sequences", 64 * MILLION)
    moments = {"evaluate_at", "checkpoint_at"}
    assert changed_fields(config, main.replace(**fields)) <= moments
    assert changed_fields(config, main) - moments == set(fields)


@pytest.mark.parametrize("group", ["sizes", "mlps"])
@pytest.mark.parametrize("exemplars", [20, 5])
def test_1600_classes_are_unrotated_characters(paper, group, exemplars):
    main, config = paper["main"].config, paper[f"{group}/1600x{exemplars}"].config
    assert config.features == main.features.replace(transforms="unrotated")
    assert (config.classes.n_train, config.classes.n_train_exemplars) == (1_600, exemplars)
    assert config.model == main.model.replace(mlps=group == "mlps")


def test_twelve_layers(paper):
    deep, matched = paper["twelve-layers"].config, paper["twelve-layers-matched"].config
    assert deep.n_sequences == 400 * MILLION
    assert deep.optimizer.learning_rate == 3e-4
    assert deep.sequences.n_pairs == 8
    assert {evaluator.sequences.n_pairs for evaluator in deep.evaluators} == {8}
    model = deep.model
    assert (model.n_layers, model.mlps) == (12, True)
    assert (model.positions, model.position_base) == ("sinusoidal", 30.0)
    assert changed_fields(matched, deep) == {"sequences"}
    assert matched.sequences == deep.sequences.replace(kind="matched")


def run_with_checkpoints(config, path):
    """A run's directory with a file, though empty, wherever training keeps a checkpoint."""
    run = Run(path, config, {})
    directory = RunDirectory(path)
    (path / "checkpoints").mkdir(parents=True)
    for step in config.checkpoint_at.steps(config.n_steps, config.batch_size):
        directory.checkpoint_path(step * config.batch_size).touch()
    return run


@pytest.mark.parametrize("prefix", SEED_PREFIXES)
def test_grafts_and_resumes_are_from_the_stated_moments(paper, prefix, tmp_path):
    donors = {
        name: run_with_checkpoints(paper[name].config, tmp_path / name)
        for name in (f"{prefix}main", f"{prefix}ciwl_only")
    }

    def moments(start):
        """By what a run's name says, the checkpoint it takes, in sequences seen."""
        found = {}
        for name, planned in paper.items():
            if name.startswith(prefix + start):
                config = planned.resolve({need: donors[need] for need in planned.needs})
                assert config.n_sequences == 64 * MILLION
                if config.start_from:
                    assert config.sequences.kind == "bursty"
                    assert config.clamps == ()
                    file = config.start_from
                else:
                    assert config.sequences.kind == "icl_only"
                    (clamp,) = config.clamps
                    assert isinstance(clamp, GraftOut)
                    assert clamp.layer == 0
                    file = clamp.checkpoint
                assert [str(Path(file).parent.parent)] == [
                    str(donors[need].path) for need in planned.needs
                ]
                found[name.removeprefix(prefix + start).removesuffix("M")] = int(Path(file).stem)
        return found

    def on_a_step(millions):
        return -(-round(millions * MILLION) // 32) * 32

    grafted = moments("grafts/ciwl-only-")
    stated = (4, 8, 9.75, 9.8, 15, 20, 25, 31.5, 32, 48, 64)
    assert {float(name): seen for name, seen in grafted.items()} == {
        at: on_a_step(at) for at in stated
    }
    resumed = moments("resumed/ciwl-only-")
    assert {float(name): seen for name, seen in resumed.items()} == {
        at: at * MILLION for at in (4, 5, 6, 7, 8, 9, 10, 12, 16)
    }
    assert moments("grafts/main-") == {"20.0": 20 * MILLION, "end": 64 * MILLION}


# Tiny runs ---------------------------------------------------------------------------------


def test_every_tiny_run_can_be_made():
    for planned in coopetition_plan("tiny"):
        if isinstance(planned.config, RunConfig):
            task = build_task(planned.config, torch.device("cpu"))
            bind(planned.config.clamps, task.model)


def test_previous_tokens_are_blocked_in_every_head_of_layer_0():
    for preset_name, n_heads in (("tiny", 4), ("laptop", 8), ("paper", 8)):
        (clamp,) = by_name(preset_name)["previous-token-blocked"].config.clamps
        heads = [(0, head) for head in range(n_heads)]
        assert clamp == BlockPreviousToken(heads, label_rows_only=True)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A few of the tiny runs, those that others need cut short."""
    out = tmp_path_factory.mktemp("tiny")
    wanted = ["grafts/ciwl-only-0.0016M", "resumed/ciwl-only-0.0016M"]
    plan = [
        dataclasses.replace(planned, config=planned.config.replace(n_sequences=3_200))
        if planned.name in ("main", "ciwl_only")
        else planned
        for planned in only_named(
            coopetition_plan("tiny"), [*wanted, "previous-token-heads-ablated"]
        )
    ]
    table = run_sweep(plan, out, InThisProcess(), 1, progress=False)
    return out, plan, table.set_index("run")


def test_grafts_hold_the_donors_block_1_and_unembedding(swept):
    out, _, table = swept
    name, donor = "grafts/ciwl-only-0.0016M", load_run(out / "ciwl_only")
    assert table.state[name] == "finished"
    run = load_run(out / name)
    (clamp,) = run.config.clamps
    assert clamp.checkpoint == str(donor.checkpoint_path(1_600))
    held, weights = bind(run.config.clamps, run.model()).donated, donor.weights(1_600)
    assert {n.split(".")[1] for n in held if n.startswith("blocks")} == {"1"}
    assert "unembed.W_U" in held
    assert all(torch.equal(weight, weights[n]) for n, weight in held.items() if n in weights)
    first, last = run.weights("first"), run.weights("last")
    assert torch.equal(first["unembed.W_U"], last["unembed.W_U"])
    assert not torch.equal(first["blocks.0.attn.W_V"], last["blocks.0.attn.W_V"])


def test_the_graft_from_mains_end_is_from_its_last_checkpoint(swept):
    out, _, _ = swept
    main = load_run(out / "main")
    (clamp,) = by_name("tiny")["grafts/main-end"].resolve({"main": main}).clamps
    assert clamp == GraftOut(str(main.checkpoint_path(3_200)), layer=0)


def test_resumes_start_from_the_donors_weights(swept):
    out, _, table = swept
    assert table.state["resumed/ciwl-only-0.0016M"] == "finished"
    first = load_run(out / "resumed/ciwl-only-0.0016M").weights("first")
    start = load_run(out / "ciwl_only").weights(1_600)
    assert all(torch.equal(weight, start[name]) for name, weight in first.items())


def test_without_icl_there_are_no_heads_to_ablate_and_that_is_said(swept):
    _, _, table = swept
    assert table.state["previous-token-heads-ablated"] == "missing"
    assert "in-context learning never dominates" in table.message["previous-token-heads-ablated"]


def test_a_moment_that_was_not_kept_is_refused(swept):
    out, _, _ = swept
    donor = load_run(out / "main")  # kept checkpoints at 0 and 3200
    for name in ("grafts/ciwl-only-0.0016M", "resumed/ciwl-only-0.0016M"):
        with pytest.raises(ConfigError, match="no checkpoint at 1600 sequences seen, the nearest"):
            by_name("tiny")[name].resolve({"ciwl_only": donor})


def test_the_heads_that_carry_icl_in_main_are_ablated(tmp_path):
    main = induction_run(tmp_path / "main")
    planned = by_name("laptop")["previous-token-heads-ablated"]
    config = planned.resolve({"main": main})
    assert config.clamps == (AblateHeads([(0, 2), (0, 1), (0, 0)]),)
    assert RunConfig.from_dict(config.to_dict()) == config
