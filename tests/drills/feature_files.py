"""Damages feature files and counts what loading them does.

    python tests/drills/feature_files.py [--mutants N] [--seed S]

Every mutant is loaded in a forked process, so that one that hangs or crashes harms no other. Files
that `save_feature_file` wrote hold a digest: none may load changed. Files from elsewhere have none,
so a flipped bit of a feature must load changed; nothing else may happen to them than that or a
refusal.
"""

import argparse
import io
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1]))

from drills.odd_feature_files import ODD_HDF5, ODD_SAFETENSORS

from coopetition_interp.tasks.exemplar_label.features import (
    FeatureBank,
    FeatureFileError,
    load_feature_file,
    save_compressed_feature_file,
    save_feature_file,
)

OUTCOMES = ("refused", "the same", "changed", "other exception", "hang", "crash")
SECONDS = 30

Loader = Callable[[Path], FeatureBank]


def example_bank(seed: int = 0) -> FeatureBank:
    """A small bank with everything a file can hold."""
    rng = np.random.default_rng(seed)
    return FeatureBank(
        torch.from_numpy(rng.normal(size=(12, 3, 5)).astype(np.float16)),
        class_names=tuple(f"Büchner/character{i:02d}" for i in range(12)),
        class_group=np.repeat(np.arange(6), 2),
        class_transform=np.tile(np.arange(2), 6),
        provenance={"kind": "made up", "knobs": [1, 2.5, None, {"deep": "yes"}]},
    )


def write_foreign(bank: FeatureBank, path: Path) -> None:
    """The same bank as another program might write it: compressed, with characters' names."""
    characters = [name.split()[0] for name in bank.class_names]
    if path.suffix == ".safetensors":
        save_file(
            {"features": bank.features, "class_group": torch.from_numpy(bank.class_group)}, path
        )
        return
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "features",
            data=bank.features.numpy(),
            chunks=(4, 3, 5),
            compression="gzip",
            shuffle=True,
        )
        file["character"] = characters
        file["class_character"] = np.arange(len(characters), dtype=np.int16)
        file["class_group"] = bank.class_group
        file.attrs["encoder"] = "some network"


def write_compressed(bank: FeatureBank, path: Path) -> None:
    """The same bank on four directions, in int8."""
    save_compressed_feature_file(bank, path, 4)


BASES: dict[str, tuple[str, Callable[[FeatureBank, Path], None]]] = {
    "own HDF5": (".h5", save_feature_file),
    "own safetensors": (".safetensors", save_feature_file),
    "own compressed": (".safetensors", write_compressed),
    "foreign HDF5": (".h5", write_foreign),
    "foreign safetensors": (".safetensors", write_foreign),
}


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """One way or another of damaging a file's bytes; never the bytes as they were."""
    mutant = bytearray(content)
    kind = rng.choice(["bit", "byte", "burst", "truncate", "zeros", "swap", "insert", "delete"])
    place = int(rng.integers(len(content)))
    length = int(rng.integers(1, 65))
    if kind == "bit":
        mutant[place] ^= 1 << int(rng.integers(8))
    elif kind == "byte":
        mutant[place] ^= int(rng.integers(1, 256))
    elif kind == "burst":
        mutant[place : place + length] = rng.bytes(len(mutant[place : place + length]))
    elif kind == "truncate":
        del mutant[place:]
    elif kind == "zeros":
        mutant[place : place + length] = bytes(len(mutant[place : place + length]))
    elif kind == "swap":
        other = int(rng.integers(len(content)))
        mutant[place : place + 8], mutant[other : other + 8] = (
            mutant[other : other + 8],
            mutant[place : place + 8],
        )
    elif kind == "insert":
        mutant[place:place] = rng.bytes(length)
    else:
        del mutant[place : place + length]
    return bytes(mutant) if bytes(mutant) != content else damaged(content, rng)


def outcomes_of(
    files: list[Path], original: FeatureBank | None, load: Loader, own: bool
) -> Iterator[tuple[str, str]]:
    """What loading each file does, and the message or the last line of the traceback.

    Args:
        files: Files to load, in a forked process; another one after each that ends it.
        original: The bank that was damaged, or None.
        load: What is tried.
        own: Whether names and provenance must be the same too.
    """
    while files:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                _tell_outcomes(files, original, load, own, writer)
            finally:
                os._exit(0)  # whatever happens, the copy of the caller must not go on
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            while files:
                try:
                    told = pickle.load(pipe)  # of our own process
                except EOFError:
                    break
                yield told
                files = files[1:]
        _, status = os.waitpid(child, 0)
        if files:
            ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            hung = ended_by in (signal.SIGALRM, signal.SIGPROF)
            yield ("hang" if hung else "crash", f"{files[0].name} ended it: status {status}")
            files = files[1:]


def _tell_outcomes(
    files: list[Path], original: FeatureBank | None, load: Loader, own: bool, writer: int
) -> None:
    with os.fdopen(writer, "wb") as pipe:
        for path in files:
            # First a bound on computing: a busy machine must not look like a hang.
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(20 * SECONDS)
            pickle.dump(_try(path, original, load, own), pipe)
            pipe.flush()


def _try(path: Path, original: FeatureBank | None, load: Loader, own: bool) -> tuple[str, str]:
    try:
        bank = load(path)
    except (FeatureFileError, FileNotFoundError) as error:
        return "refused", str(error)
    except BaseException:
        return "other exception", traceback.format_exc().strip().splitlines()[-1]
    if original is None:
        return "the same", "loaded"
    return ("the same" if _equal(bank, original, own) else "changed"), repr(bank)


def _equal(bank: FeatureBank, original: FeatureBank, own: bool) -> bool:
    same = bank.digest() == original.digest()
    if own:
        same = same and (bank.class_names, bank.provenance) == (
            original.class_names,
            original.provenance,
        )
        same = same and np.array_equal(bank.class_transform, original.class_transform)
    return bool(same)


def damage_drill(
    base: str, n_mutants: int, seed: int, load: Loader, folder: Path
) -> Iterator[tuple[str, str]]:
    """Outcomes of damaged copies of one kind of file."""
    suffix, write = BASES[base]
    bank = example_bank()
    path = folder / f"whole{suffix}"
    write(bank, path)
    if base == "own compressed":
        bank = load(path)  # what is rounded is not what was given
    content = path.read_bytes()
    rng = np.random.default_rng([seed, len(base)])
    mutants = [folder / f"mutant{index}{suffix}" for index in range(n_mutants)]
    for mutant in mutants:
        mutant.write_bytes(damaged(content, rng))
    yield from outcomes_of(mutants, bank, load, base.startswith("own"))


def odd_files_drill(load: Loader, folder: Path, suffix: str) -> Iterator[tuple[str, str, str]]:
    """Name, outcome and message of every odd file."""
    odd = ODD_HDF5 if suffix == ".h5" else ODD_SAFETENSORS
    files = [folder / f"odd{index}{suffix}" for index in range(len(odd))]
    for path, write in zip(files, odd.values(), strict=True):
        write(path)
    outcomes = outcomes_of(files, None, load, own=False)
    for name, (outcome, message) in zip(odd, outcomes, strict=True):
        yield name, outcome, message


def load_in_this_process(path: Path) -> FeatureBank:
    """`load_feature_file`, but HDF5 is read here: no process to start, for many small files."""
    from coopetition_interp.files.hdf5_reading.program import tell
    from coopetition_interp.tasks.exemplar_label.features.feature_file import bank_or_error
    from coopetition_interp.tasks.exemplar_label.features.hdf5_features import received

    if path.suffix != ".h5":
        return load_feature_file(path)
    messages = io.BytesIO()
    tell(str(path), "", messages, bound=lambda n_bytes: None)
    messages.seek(0)
    return bank_or_error(path, lambda: received(messages))


def _table(counts: dict[str, Counter[str]]) -> Iterable[str]:
    yield f"{'':24}" + "".join(f"{outcome:>17}" for outcome in OUTCOMES)
    for name, count in counts.items():
        yield f"{name:24}" + "".join(f"{count[outcome]:17}" for outcome in OUTCOMES)


def main() -> None:
    """Runs the drill and prints its counts, and each kind of failure once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mutants", type=int, default=1000, help="of each kind of file")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts: dict[str, Counter[str]] = {}
    failures: set[str] = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for base in BASES:
            counts[base] = Counter()
            for outcome, message in damage_drill(
                base, options.mutants, options.seed, load_feature_file, folder
            ):
                counts[base][outcome] += 1
                if outcome not in ("refused", "the same", "changed"):
                    failures.add(f"{base}: {outcome}: {message[:150]}")
        for suffix in (".h5", ".safetensors"):
            key = f"odd {suffix}"
            counts[key] = Counter()
            for odd, outcome, message in odd_files_drill(load_feature_file, folder, suffix):
                counts[key][outcome] += 1
                if outcome != "refused":
                    failures.add(f"odd {suffix}, {odd}: {outcome}: {message[:150]}")
    print("\n".join(_table(counts)))
    print("\n".join(sorted(failures)))


if __name__ == "__main__":
    main()
