"""Damaged copies of a run's files, drawn at random, and what becomes of whoever reads them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors
import torch
from safetensors.torch import save_file

from coopetition_interp.sweeps import PlannedRun, sweep_status
from coopetition_interp.training import RunConfig, load_run, resume, train

JSON_FILES = ("status.json", "resolved.json", "config.json")
OWN_ERRORS = {"RunError", "MissingFileError", "ConfigError", "FeatureFileError", "StudyError"}
OTHER_VALUES: tuple[Any, ...] = (None, True, -1, 0, 1.5, "text", "", [], {}, [1], 10**30, "9" * 99)
OTHER_DTYPES = (torch.int64, torch.bool, torch.complex64, torch.uint8, torch.float8_e4m3fn)
SECONDS_TO_HANG = 30


@dataclass(frozen=True)
class Mutant:
    """A change of one file.

    Attributes:
        file: Its place in the run.
        how: The change, in words.
        apply: Makes it, given the file's path.
    """

    file: str
    how: str
    apply: Callable[[Path], None]


def damaged_tensors(chance: random.Random, path: Path, other: Path) -> tuple[str, Callable]:
    """A damaged safetensors file; `other` is one that could be taken for it."""
    with safetensors.safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    name = chance.choice(sorted(tensors))
    how = chance.choice(
        ["nan", "infinite", "another dtype", "one is gone", "one too many", "another shape"]
        + ["other notes"] * 2
        + ["another file"]
    )
    if how in ("nan", "infinite"):
        value = float("nan") if how == "nan" else float("inf")
        tensors[name] = tensors[name].clone()
        tensors[name].view(-1)[chance.randrange(tensors[name].numel())] = value
    elif how == "another dtype":
        dtype = chance.choice(OTHER_DTYPES)
        how = f"{how} ({str(dtype).removeprefix('torch.')})"
        tensors[name] = tensors[name].to(dtype)
    elif how == "one is gone":
        del tensors[name]
    elif how == "one too many":
        tensors["extra"] = torch.ones(2)
    elif how == "another shape":
        tensors[name] = torch.cat([tensors[name], tensors[name]])
    elif how == "other notes":
        noted = chance.choice(sorted(metadata))
        metadata[noted] = chance.choice(["999999", "-1", "x", "", "0", "7"])
        how = f"{how} ({noted})"
    else:
        return how, lambda path: replace(path, other.read_bytes())
    return how, lambda path: save_anew(path, tensors, metadata)


def save_anew(path: Path, tensors: dict, metadata: dict) -> None:
    path.unlink()  # may be a hard link
    save_file(tensors, path, metadata)


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def damaged_json(chance: random.Random, path: Path, other: Path) -> tuple[str, Callable]:
    """Another value, a missing or unknown field, another shape, or another file of the run."""
    content = json.loads(path.read_text())
    how = chance.choice(["value"] * 4 + ["missing", "unknown", "shape", "another file"])
    groups = [content, *(value for value in content.values() if isinstance(value, dict))]
    group = chance.choice(groups)
    if how in ("value", "missing") and group:
        field = chance.choice(sorted(group))
        if how == "missing":
            del group[field]
        else:
            values = [v for v in OTHER_VALUES if not (v is True and isinstance(group[field], bool))]
            group[field] = chance.choice(values)  # to compile is right too, and slow
        how = f"{how} ({field})"
    elif how == "unknown":
        group["unknown"] = 1
    elif how == "shape":
        content = chance.choice([[], {}, None, 3, "text", [content], {"runs": content}])
    else:
        return how, lambda path: replace(path, other.read_bytes())
    text = json.dumps(content)
    return how, lambda path: replace(path, text.encode())


def damaged_table(chance: random.Random, path: Path, other: Path) -> tuple[str, Callable]:
    """A row or a column lost or repeated, a value of another kind, or another run's table."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    how = chance.choice(["row lost", "row repeated", "column lost", "value", "shuffled", "other"])
    row, column = chance.randrange(len(rows)), chance.randrange(len(rows[0]))
    if how == "row lost":
        del rows[row]
    elif how == "row repeated":
        rows.insert(row, rows[row])
    elif how == "column lost":
        rows = [values[:column] + values[column + 1 :] for values in rows]
    elif how == "value":
        rows[row][column] = chance.choice(["text", "", "-1", "1e999", "0.5,", '"'])
    elif how == "shuffled":
        chance.shuffle(rows)
    else:
        return how, lambda path: replace(path, other.read_bytes())
    text = "".join(",".join(values) + "\n" for values in rows)
    return how, lambda path: replace(path, text.encode())


def damaged_bytes(chance: random.Random, path: Path) -> tuple[str, Callable]:
    """Bits turned, an end or a stretch lost, nothing or noise in its place."""
    content = bytearray(path.read_bytes())
    how = chance.choice(["bit"] * 4 + ["early bit"] * 2 + ["truncated"] * 2 + ["lost", "noise"])
    start = chance.randrange(len(content))
    if how == "early bit":
        start = chance.randrange(min(len(content), 2000))
    if how in ("bit", "early bit"):
        content[start] ^= 1 << chance.randrange(8)
    elif how == "truncated":
        content = content[:start]
    elif how == "lost":
        del content[start : start + chance.randrange(1, 64)]
    else:
        content = bytearray(chance.randbytes(chance.choice([0, 1, 8, 500])))
    return how, lambda path: replace(path, bytes(content))


def not_a_file(chance: random.Random) -> tuple[str, Callable]:
    """A pipe, a link to one, a folder, a dangling link, a device, nothing, or a huge file."""
    how = chance.choice(["pipe", "link to a pipe", "folder", "dangling link", "device", "gone"])

    def apply(path: Path) -> None:
        path.unlink()
        if how == "pipe":
            os.mkfifo(path)
        elif how == "link to a pipe":
            os.mkfifo(path.parent / "pipe")
            path.symlink_to("pipe")
        elif how == "folder":
            path.mkdir()
        elif how == "dangling link":
            path.symlink_to("nowhere")
        elif how == "device":
            path.symlink_to("/dev/null")

    return how, apply


def draw(chance: random.Random, run: Path, file: str, other_run: Path) -> Mutant:
    """A mutant of a file of `run`.

    Args:
        chance: Where it comes from.
        run: A run as `interrupted_run` makes it.
        file: Place of the file in it.
        other_run: Another such run.
    """
    path = run / file
    kind = chance.choices(["bytes", "content", "no file"], [6, 10, 2])[0]
    if kind == "bytes":
        how, apply = damaged_bytes(chance, path)
    elif kind == "no file":
        how, apply = not_a_file(chance)
    elif path.suffix == ".json":
        others = [name for name in JSON_FILES if name != path.name]
        how, apply = damaged_json(chance, path, run / chance.choice(others))
    elif path.suffix == ".csv":
        how, apply = damaged_table(chance, path, other_run / file)
    else:
        files = sorted(run.rglob("*.safetensors"))
        how, apply = damaged_tensors(chance, path, chance.choice([f for f in files if f != path]))
    return Mutant(file, how, apply)


# Runs and what is read of them --------------------------------------------------------------


def interrupted_run(config: RunConfig, path: Path) -> Path:
    """A run that stopped half-way, with all its files."""
    half = config.replace(n_sequences=config.n_sequences // 2)
    run = train(half, path, progress=False)
    resolved = json.loads((path / "resolved.json").read_text())
    (path / "config.json").write_text(json.dumps(config.to_dict(), indent=1) + "\n")
    (path / "resolved.json").write_text(json.dumps(resolved, indent=1) + "\n")
    status = {"state": "interrupted", "sequences_seen": half.n_sequences, "message": ""}
    (path / "status.json").write_text(json.dumps(status))
    return run.path


def read_status_table(path: Path, config: RunConfig) -> Any:
    """State and progress of the run in a sweep's table, and that of the run beside it."""
    plan = [PlannedRun(path.name, config), PlannedRun("beside", config)]
    table = sweep_status(plan, path.parent)
    return table[["run", "state", "sequences_seen"]].to_dict("records")


def read_weights(path: Path, config: RunConfig) -> Any:
    """Every checkpoint, as weights and as a model."""
    run = load_run(path)
    weights = {
        (seen, name): weight
        for seen in run.checkpoints
        for name, weight in run.weights(seen).items()
    }
    for seen in run.checkpoints:
        for name, parameter in run.model(seen).named_parameters():
            weights[str(seen), "model", name] = parameter.detach().clone()
    return weights


def read_metrics(path: Path, config: RunConfig) -> Any:
    """The table of metrics."""
    return load_run(path).metrics


def read_resumed(path: Path, config: RunConfig) -> Any:
    """Final weights and metrics of the run, resumed."""
    run = resume(path, progress=False)
    return [run.weights("last"), run.metrics]


READERS: dict[str, Callable[[Path, RunConfig], Any]] = {
    "status": read_status_table,
    "weights": read_weights,
    "metrics": read_metrics,
    "resume": read_resumed,
}


def same(left: Any, right: Any) -> bool:
    """Whether two readings are the same, bit by bit."""
    if type(left) is not type(right):
        return False
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, pd.DataFrame):
        order = ["sequences_seen", "evaluator"]
        if not set(order) <= set(left) & set(right):
            return False
        left, right = left.sort_values(order), right.sort_values(order)
        return left.reset_index(drop=True).equals(right.reset_index(drop=True))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(np.all(left == right))


class HangsError(BaseException):
    """A reader waits for ever."""


@contextlib.contextmanager
def no_hanging() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise HangsError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS_TO_HANG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(
    mutant: Mutant, run: Path, reader: str, config: RunConfig, right: Any, room: Path
) -> tuple[str, str]:
    """What a reader makes of a mutant: "refused", "same", "changed", "traceback" or "hangs".

    Args:
        mutant: The mutant.
        run: The run whose file it is.
        reader: One of `READERS`.
        config: The run's config, as planned.
        right: What the reader gives of the whole run.
        room: An empty folder, for the copy; removed afterwards.

    Returns:
        That, and the error's text. An error of ours is "unclear" if it is not one short line.
    """
    path = room / "run"
    shutil.copytree(run, path, copy_function=os.link)
    for file in path.iterdir():  # written by a resume: in place, were they still links
        if file.is_file():
            replace(file, file.read_bytes())
    mutant.apply(path / mutant.file)
    try:
        with no_hanging():
            found = READERS[reader](path, config)
    except HangsError:
        return "hangs", ""
    except Exception as error:
        text = str(error)
        own = type(error).__name__ in OWN_ERRORS
        clear = own and 0 < len(text) < 600 and "\n" not in text
        return ("refused" if clear else "unclear" if own else "traceback"), (
            f"{type(error).__name__}: {text[:150]}"
        )
    finally:
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir(exist_ok=True)
    if reader == "status":
        beside_is_right = found[1] == right[1]
        told = found[0]["state"] in ("damaged", "differs", "missing", "interrupted", "running")
        if not beside_is_right:
            return "changed", str(found)
        return ("same" if found == right else "refused" if told else "changed"), str(found[0])
    if reader == "weights":
        right = {key: right[key] for key in found if key in right}  # fewer checkpoints are seen
    return ("same" if same(found, right) else "changed"), ""
