"""Damages the files of a run at random and counts what becomes of whoever reads them.

Run by hand: python tests/drills/run_files.py [MUTANTS [SEED]]
"""

from __future__ import annotations

import collections
import random
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from run_file_mutants import READERS, draw, interrupted_run, outcome

from coopetition_interp.tasks.exemplar_label import preset

OUTCOMES = ("refused", "same", "changed", "unclear", "traceback", "hangs")


def main(n_mutants: int = 1000, seed: int = 0) -> None:
    """Draws mutants of every file in turn and prints counts by file and outcome."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chance = random.Random(seed)
    config = preset("tiny").with_overrides(
        [
            "n_sequences=640",
            'evaluate_at={"every": 160}',
            'checkpoint_at={"every": 160}',
            "n_threads=1",
            "name=run",
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder) / "room"
        room.mkdir()
        run = interrupted_run(config, Path(folder) / "run")
        other = interrupted_run(config.replace(data_seed=9), Path(folder) / "other")
        right = {name: _reading(name, run, config, Path(folder) / "whole") for name in READERS}
        files = sorted(p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file())
        files = [file for file in files if file not in ("environment.json", "in_use.lock")]
        counts: dict[tuple[str, str], collections.Counter] = collections.defaultdict(
            collections.Counter
        )
        examples: dict[tuple[str, str, str], str] = {}
        for index in range(n_mutants):
            mutant = draw(chance, run, files[index % len(files)], other)
            kind = "checkpoint" if "/" in mutant.file else mutant.file
            for name in _readers_of(kind):
                result, text = outcome(mutant, run, name, config, right[name], room)
                counts[kind, name][result] += 1
                if result not in ("refused", "same"):
                    examples.setdefault((kind, name, f"{result}, {mutant.how}"), text)
        _print(counts, examples)


def _readers_of(kind: str) -> tuple[str, ...]:
    if kind == "checkpoint":
        return ("weights", "status")
    return ("resume", "metrics", "status") if kind != "status.json" else ("resume", "status")


def _reading(name: str, run: Path, config, room: Path):
    shutil.copytree(run, room / "run")
    try:
        return READERS[name](room / "run", config)
    finally:
        shutil.rmtree(room)


def _print(counts, examples) -> None:
    print(f"{'file':22}{'read by':10}" + "".join(f"{result:>11}" for result in OUTCOMES))
    total: collections.Counter = collections.Counter()
    for (kind, name), found in sorted(counts.items()):
        total += found
        row = "".join(f"{found[result]:11}" for result in OUTCOMES)
        print(f"{kind:22}{name:10}{row}")
    print(f"{'all':32}" + "".join(f"{total[result]:11}" for result in OUTCOMES))
    for (kind, name, what), text in sorted(examples.items()):
        print(f"  {kind}, {name}: {what}: {text}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:3]))
