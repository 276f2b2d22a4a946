"""Drill: mutated configs and overrides are refused by a `ConfigError` of one line, or they train.

    python tests/drills/configs.py [--mutants 4000] [--runs 200] [--seed 0]

Every preset's config is mutated, as a dictionary and by overrides. Of what is accepted, runs small
enough are trained for a few steps, each in a fresh directory: they reach the end with a finite
loss, or are refused before anything is written.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coopetition_interp.tasks.exemplar_label import PRESETS, preset
from coopetition_interp.training import ConfigError, RunConfig, RunError, train

DEEP: list[Any] = []
for _ in range(5_000):
    DEEP = [DEEP]

EDGES: list[Any] = [
    *(0, 1, 2, 3, 5, 16, 33, 1000, 1001, 2**31, 2**63, 10**12, 10**13, 10**400, -1, -(2**63)),
    *(0.0, 1.0, 2.0, 0.5, 1.5, 1e-320, 1e-20, 1e-12, 10.0, 0.999999, 1e3, 1e6, 1e30, 1e308, -1e-9),
    *(math.inf, -math.inf, math.nan, True, False, None),
    *("", "12", "1e3", "train", "icl", "rotary", "x" * 5000, "\ud800", "a\nb", "\0", "null"),
    *([], {}, [[1]], [1, 2], ["all"], ["mlp"], {"kind": "gaussian"}, {"x": 1}),
    [0.5],
    DEEP,
]
SMALL = ["n_sequences=96", 'evaluate_at={"every": 64}', 'checkpoint_at={"every": 64}']


def places(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key and index of a nested config."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        yield (*place, key)
        if isinstance(value, dict | list):
            yield from places(value, (*place, key))


def holder(data: Any, place: tuple[Any, ...]) -> Any:
    """What holds the value at a place."""
    for key in place[:-1]:
        data = data[key]
    return data


def mutated(rng: random.Random, data: dict[str, Any]) -> dict[str, Any]:
    """The config with one to three things changed."""
    data = json.loads(json.dumps(data))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        place = rng.choice(list(places(data)))
        held, key = holder(data, place), place[-1]
        change = rng.choice(("edge", "edge", "edge", "edge", "drop", "add", "wrap", "swap", "copy"))
        if change == "edge":
            held[key] = rng.choice(EDGES)
            if held[key] is DEEP:
                return data  # nothing walks through that
        elif change == "drop":
            del held[key]
        elif change == "add" and isinstance(held, dict):
            held[rng.choice(("", "n_sequence", "kind ", "x" * 3000, "\ud800"))] = 1
        elif change == "wrap":
            held[key] = rng.choice(([held[key]], {"value": held[key]}))
        elif change == "copy" and isinstance(held, list):
            held.append(held[key])
        elif change == "swap":
            other = rng.choice(list(places(data)))
            held[key] = json.loads(json.dumps(holder(data, other)[other[-1]]))
        if not data:
            return data
    return data


def mutated_override(rng: random.Random, data: dict[str, Any]) -> str:
    """An override of one field, or something like one."""
    place = rng.choice([p for p in places(data) if not any(isinstance(key, int) for key in p)])
    name = ".".join(place)
    value = rng.choice(EDGES)
    text = "[" * 50_000 if value is DEEP else json.dumps(value)
    kind = rng.random()
    if kind < 0.7:
        return f"{name}={text}"
    if kind < 0.8:
        return f"{name}={rng.choice(('', '9' * 6000, '{', '[1,', 'nan', '1_0', '0x10', ' 5 '))}"
    return rng.choice((name, f"{name}.x={text}", f"{name[:-1]}={text}", f"={text}", f".{name}=1"))


def read(make: Any) -> tuple[str, RunConfig | None]:
    """What became of a mutant: how it was refused, or its config."""
    try:
        config = make()
        json.dumps(config.to_dict())
        return "accepted", config
    except ConfigError as error:
        told = str(error)
        fine = len(told) < 600 and len(told.splitlines()) == 1
        return "refused" if fine else "refused in too many words", None
    except Exception as error:
        return f"{type(error).__name__}", None


def is_small(config: RunConfig) -> bool:
    """Whether a few steps of it take no more than a moment."""
    features, model = config.features, config.model
    width = max(model.d_model, model.n_heads * model.d_head)
    return (
        type(features).__name__ == "GaussianFeatures"
        and features.n_classes * features.n_exemplars * features.d_feature < 10**6
        and config.n_sequences <= 2000
        and 32 <= config.batch_size <= 1000
        and config.sequences.n_pairs <= 20
        and sum(e.n_sequences * (e.sequences.n_pairs + 1) for e in config.evaluators) <= 20_000
        and model.n_layers <= 5
        and width <= 300
        and config.n_threads <= 2
        and config.compile != "yes"
        and config.sequences.n_labels_per_class <= 1000
        and config.evaluate_at.log_spaced <= 1000
        and config.checkpoint_at.log_spaced <= 1000
    )


def trained(config: RunConfig) -> str:
    """What became of a small run."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        try:
            run = train(config, out, progress=False)
        except (ValueError, RunError, FileNotFoundError) as error:
            told = str(error)
            if len(told) >= 600 or len(told.splitlines()) > 1:
                return f"{type(error).__name__} in too many words"
            if {path.name for path in out.glob("*")} <= {"in_use.lock"}:
                return "refused before anything was written"
            return f"{type(error).__name__} after the run was begun"
        except Exception as error:
            return f"{type(error).__name__}"
        losses = run.metrics.training_loss.dropna()
        return "trained" if all(map(math.isfinite, losses)) else "trained to a loss not finite"


def edge_overrides(name: str) -> Iterator[str]:
    """A preset's every single field at every edge value."""
    data = preset(name).to_dict(whole=True)
    for place in places(data):
        if any(isinstance(key, int) for key in place):
            continue
        if isinstance(holder(data, place)[place[-1]], dict):
            continue
        for value in EDGES:
            if value is not DEEP:
                yield f"{'.'.join(place)}={json.dumps(value)}"


def drill(seed: int, n_mutants: int, n_runs: int) -> tuple[Counter[str], Counter[str], list[str]]:
    """Counts of what became of mutants and of runs, and the surprises."""
    rng = random.Random(seed)
    read_as: Counter[str] = Counter()
    ran_as: Counter[str] = Counter()
    surprises: list[str] = []
    presets = {name: preset(name).to_dict(whole=True) for name in PRESETS}
    for index in range(n_mutants):
        name = rng.choice(list(presets))
        if index % 2:
            data = mutated(rng, presets[name])
            outcome, _ = read(lambda data=data: RunConfig.from_dict(data))
            told = "a mutated dictionary"
        else:
            assignment = mutated_override(rng, presets[name])
            outcome, _ = read(lambda n=name, a=assignment: preset(n).with_overrides([a]))
            told = assignment[:200]
        read_as[outcome] += 1
        if outcome not in ("accepted", "refused"):
            surprises.append(f"{name}, mutant {index}: {told}: {outcome}")

    edges = list(edge_overrides("tiny"))
    rng.shuffle(edges)
    for assignment in edges:
        if sum(ran_as.values()) == n_runs:
            break
        _, config = read(lambda a=assignment: preset("tiny").with_overrides([*SMALL, a]))
        if config is None or not is_small(config):
            continue
        outcome = trained(config)
        ran_as[outcome] += 1
        if outcome not in ("trained", "refused before anything was written"):
            surprises.append(f"run with {assignment[:200]}: {outcome}")
    return read_as, ran_as, surprises


def main() -> None:
    """Runs the drill and prints its counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=4000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    read_as, ran_as, surprises = drill(options.seed, options.mutants, options.runs)
    for surprise in surprises:
        print(surprise)
    print("mutants:", dict(read_as.most_common()))
    print("runs:", dict(ran_as.most_common()))


if __name__ == "__main__":
    main()
