"""The benchmark compares what does the same, takes ratios within rounds, and writes both forms."""

import json

import pandas as pd
import pytest
import torch

from coopetition_interp.benchmark import PARTS
from coopetition_interp.benchmark import side_by_side as side_by_side_module
from coopetition_interp.benchmark.contenders import (
    GROUPED,
    OURS,
    Floor,
    GoodLoop,
    OurGroupedStep,
    OurStep,
    PlainLoop,
    small_size,
)
from coopetition_interp.benchmark.side_by_side import Effort, Times, side_by_side
from coopetition_interp.benchmark.steps import SAMPLING, rows_of_steps
from coopetition_interp.command_line import main
from coopetition_interp.command_line.main import BENCHMARK_PARTS
from coopetition_interp.training import grouped_step, steps_at_once, training_step


def test_the_good_users_loss_is_the_plain_loops():
    setting = small_size()
    plain, good = PlainLoop(setting), GoodLoop(setting)
    good.model.load_state_dict(plain.model.state_dict())
    good.exemplar_embed.load_state_dict(plain.exemplar_embed.state_dict())
    batch = setting.sampler.batch(0)
    # Logits of one token or of all are other products; single precision tells them apart.
    torch.testing.assert_close(good.query_loss(batch), plain.loss(batch), atol=1e-5, rtol=1e-5)


def test_ratios_are_of_the_same_round():
    # A machine that slows down tenfold between rounds changes no ratio.
    times = Times({"ours": [1.0, 10.0, 1.0], "other": [3.0, 30.0, 3.0]})
    assert times.ratio("other", "ours") == 3.0


def test_a_grouped_step_trains_runs_of_their_own(monkeypatch):
    monkeypatch.setattr(grouped_step, "compile_record", lambda recorded, _: (recorded, False))
    setting = small_size()
    grouped = OurGroupedStep(setting)
    seeds = range(setting.n_grouped)
    alone = [
        setting.model(seed)(setting.sampler_of(seed).batch(0), return_type="loss") for seed in seeds
    ]
    # Batched products add in another order than those of one run.
    torch.testing.assert_close(grouped()[0], torch.stack(alone), atol=1e-5, rtol=1e-5)
    assert len(grouped()[0]) == 8


def test_what_trains_several_runs_is_timed_per_step_of_one(monkeypatch):
    clock = iter(range(1_000))
    monkeypatch.setattr(side_by_side_module, "perf_counter", lambda: float(next(clock)))

    class Eight:
        steps_per_call = 8

        def __call__(self):
            next(clock)  # takes twice the time of what trains one

    times = side_by_side({OURS: lambda: None, GROUPED: Eight()}, Effort(2, 0.0))
    assert times.seconds == {OURS: [1.0, 1.0], GROUPED: [0.25, 0.25]}


def test_ratios_of_steps():
    times = Times(
        {OURS: [1.0, 2.0], GROUPED: [0.25, 0.5], "floor": [0.5, 1.0], SAMPLING: [0.1, 0.2]}
    )
    values = {row.what: row.value for row in rows_of_steps("small size", times, n_grouped=8)}
    assert values["ours grouped of 8, times the sequences per second of ours"] == 4.0
    assert values["ours, times the speed of: floor"] == 0.5
    assert values["sampling, share of a step"] == pytest.approx(10.0)


def test_several_steps_a_call_are_those_taken_one_by_one(monkeypatch):
    """On a GPU a call takes many steps: here it is made to on a processor."""
    monkeypatch.setattr(training_step, "compile_record", lambda recorded, _: (recorded, False))
    monkeypatch.setattr(grouped_step, "compile_record", lambda recorded, _: (recorded, False))
    setting = small_size()
    one_by_one, grouped = OurStep(setting), OurGroupedStep(setting)
    singly = [one_by_one()[0] for _ in range(4)]
    singly_grouped = [grouped()[0] for _ in range(4)]
    monkeypatch.setattr(steps_at_once, "steps_of_a_launch", lambda device: 2)
    at_once, grouped_at_once, floor = OurStep(setting), OurGroupedStep(setting), Floor(setting)
    assert at_once.steps_per_call == floor.steps_per_call == 2
    assert grouped_at_once.steps_per_call == 2 * setting.n_grouped
    assert [*at_once(), *at_once()] == singly
    assert all(map(torch.equal, [*grouped_at_once(), *grouped_at_once()], singly_grouped))
    assert len(floor()) == 2


def test_no_gpu_is_told_before_anything_is_measured(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", "--device", "cuda"]) == 2
    assert "torch finds no GPU here" in capsys.readouterr().err


def test_contenders_take_turns():
    turns = []
    contenders = {name: lambda name=name: turns.append(name) for name in "ab"}
    times = side_by_side(contenders, Effort(rounds=3, seconds_per_turn=0.0))
    assert turns == [*"aabb", *"ababab"]
    assert {name: len(seconds) for name, seconds in times.seconds.items()} == {"a": 3, "b": 3}


def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys):
    file = tmp_path / "bench.json"
    assert main(["bench", "--only", "checkpoints", "--rounds", "1", "--json", str(file)]) == 0
    written = json.loads(file.read_text(encoding="utf-8"))
    rows = pd.DataFrame(written["rows"]).set_index("what").value
    assert rows["checkpoints"] == 11
    assert rows["evaluate_checkpoints, times the speed of the loop"] == pytest.approx(
        rows["a loop over models"] / rows["evaluate_checkpoints"]
    )
    assert {"processor", "cores", "torch", "load_average"} <= set(written["machine"])
    told = capsys.readouterr().out
    assert all(what in told for what in rows.index)


def test_the_command_knows_every_part():
    assert tuple(PARTS) == BENCHMARK_PARTS
