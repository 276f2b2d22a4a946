"""Measures over the checkpoints of a run: progress measures.

Checkpoints are run one after another through one model, in chunks of sequences that fit the
processor's cache, so memory does not grow with their number. At d_model 64, 2 layers, 5 labels and
1000 sequences, one core takes 40 ms per checkpoint, 85 ms with two-pass clamps. Stacking the
weights of checkpoints under `torch.func.vmap` gains nothing there (45 to 55 ms).

Where other work keeps the cores busy, one thread is the fastest: `torch.set_num_threads(1)` then.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from coopetition_interp.analysis.attention_strengths import head_strengths
from coopetition_interp.config_class import shortened
from coopetition_interp.interventions import BoundClamps, Clamp, PhasedClamps, bind_phases
from coopetition_interp.interventions.binding import require_list
from coopetition_interp.interventions.phases import check_each_is_held
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import Sequences
from coopetition_interp.training.run import Run, load_weights
from coopetition_interp.training.run_directory import RunDirectory
from coopetition_interp.training.task import by_name, moved

MeasuredOn = TypeVar("MeasuredOn")
Moment = int | float | Literal["first", "last"]
Checkpoints = Iterable[Moment] | Moment | Literal["all"] | None
"""One or several of a run's checkpoints, by sequences seen, or "first" or "last"; all if None."""


def checkpoint_models(
    run: Run,
    checkpoints: Checkpoints = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> Iterator[tuple[int, ExemplarLabelTransformer]]:
    """A run's checkpoints, one after another, in one and the same model.

    Args:
        run: The run.
        checkpoints: Sequences seen at the checkpoints, or "first" or "last", one or several; None
            for all.
        device: Where the model runs.
        progress: Show a progress bar.

    Yields:
        Sequences seen, and the model, which holds that checkpoint until the next is asked for.

    Raises:
        RunError: If the run lacks a checkpoint (before the first is read), or has none.
    """
    chosen = chosen_checkpoints(run, checkpoints)
    if not chosen:
        return
    model = run.model(chosen[0], device)
    directory = RunDirectory(run.path)
    for seen in tqdm(chosen, disable=not progress, unit="checkpoint"):
        load_weights(model, directory.checkpoint_path(seen))
        yield seen, model


def spread_checkpoints(run: Run, n: int) -> list[int]:
    """At most `n` of a run's checkpoints, evenly spread, its first and last among them."""
    kept = run.checkpoints
    places = np.linspace(0, len(kept) - 1, min(n, len(kept))).round().astype(int)
    return [kept[place] for place in places]


def over_checkpoints(
    run: Run,
    sequences: MeasuredOn,
    measure: Callable[[ExemplarLabelTransformer, MeasuredOn], Any],
    checkpoints: Checkpoints = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> pd.DataFrame:
    """Applies a measure to checkpoints of a run.

    Args:
        run: The run. The clamps it was trained with are not held unless the measure holds them
            (`active_at(run.config.clamps, seen)`).
        sequences: Handed to the measure: `Sequences`, or whatever else it takes, such as the
            evaluators' sequences by name for `evaluate`.
        measure: Any analysis here, from a model and sequences to a table; or to a number (a table's
            column `value`), or to several by name. It gets the same model object each time, with
            other weights, and must not keep or change it.
        checkpoints: As for `checkpoint_models`.
        device: As for `checkpoint_models`.
        progress: As for `checkpoint_models`.

    Returns:
        The measure's tables, one after another, with `sequences_seen` as first column.

    Raises:
        RunError: See `checkpoint_models`.
        TypeError: The measure gave something else.
    """
    models = checkpoint_models(run, checkpoints, device, progress)
    return one_table((seen, measure(model, sequences)) for seen, model in models)


def evaluate_checkpoints(
    run: Run,
    clamps: Iterable[Clamp] = (),
    checkpoints: Checkpoints = None,
    sequences: Mapping[str, Any] | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> pd.DataFrame:
    """Metrics of every checkpoint under clamps, for a run of whatever task: a progress measure.

    Args:
        run: The run; its own clamps are held only if given here.
        clamps: Held on each checkpoint (`During` on those at which it would be in training);
            donors are read once.
        checkpoints: As for `checkpoint_models`.
        sequences: What checkpoints are scored on, by name; None for the run's own evaluators.
        device: As for `checkpoint_models`.
        progress: As for `checkpoint_models`.

    Returns:
        Columns `sequences_seen`, `evaluator` (the name), the task's metrics, `n_sequences`.

    Raises:
        RunError: See `checkpoint_models`.
        ValueError: If clamps or sequences do not fit the model.
        FileNotFoundError: If a donor's checkpoint is not there.
    """
    chosen = chosen_checkpoints(run, checkpoints)
    bound = clamps_at_checkpoints(clamps, run, device)
    sequences = run.evaluation_sequences if sequences is None else sequences
    batches = {name: moved(batch, device) for name, batch in by_name(sequences).items()}
    models = checkpoint_models(run, chosen, device, progress)
    return one_table(
        (seen, run.config.evaluator(model, bound.at(seen))(batches)) for seen, model in models
    )


def strengths_over_checkpoints(
    run: Run,
    sequences: Sequences,
    clamps: Iterable[Clamp] = (),
    checkpoints: Checkpoints = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> pd.DataFrame:
    """Induction and previous-token strength of every head over checkpoints.

    Args:
        run: As for `evaluate_checkpoints`.
        sequences: What strengths are measured on, such as training sequences.
        clamps: As for `evaluate_checkpoints`.
        checkpoints: As for `checkpoint_models`.
        device: As for `checkpoint_models`.
        progress: As for `checkpoint_models`.

    Returns:
        Columns `sequences_seen`, `layer`, `head`, `induction_strength`,
        `previous_token_strength`.

    Raises:
        RunError: See `checkpoint_models`.
        ValueError: See `induction_strength`.
        FileNotFoundError: If a donor's checkpoint is not there.
    """
    chosen = chosen_checkpoints(run, checkpoints)
    bound = clamps_at_checkpoints(clamps, run, device)
    sequences = sequences.to(device)
    models = checkpoint_models(run, chosen, device, progress)
    return one_table(
        (seen, head_strengths(model, sequences, bound.at(seen))) for seen, model in models
    )


def clamps_at_checkpoints(
    clamps: Iterable[Clamp], run: Run, device: torch.device | str
) -> PhasedClamps:
    """Clamps of every phase; one whose time has no checkpoint is refused, unless the run's own."""
    if not isinstance(clamps, BoundClamps):
        require_list(clamps)
        clamps = tuple(clamps)
        others = [each for each in clamps if each not in run.config.clamps]
        check_each_is_held(others, run.checkpoints)
    return bind_phases(clamps, run.model("first", device))


def one_table(tables: Iterable[tuple[int, Any]]) -> pd.DataFrame:
    """What was measured at several moments as one table, `sequences_seen` its first column.

    Raises:
        TypeError: See `_as_table`.
        ValueError: A table has such a column itself.
    """
    joined = []
    for seen, measured in tables:
        table = _as_table(measured)
        if "sequences_seen" in table:
            raise ValueError(
                "the measure's table has a column sequences_seen, which is added to it: leave it "
                "out, or give it another name"
            )
        table.insert(0, "sequences_seen", seen)
        joined.append(table)
    return pd.concat(joined, ignore_index=True) if joined else pd.DataFrame()


def _as_table(measured: Any) -> pd.DataFrame:
    """What a measure gave as a table: numbers by name are a row, one number is its `value`.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(measured, pd.DataFrame):
        return measured.copy(deep=False)
    named = isinstance(measured, Mapping | pd.Series)
    row = dict(measured) if named else {"value": measured}
    row = {n: v.item() if isinstance(v, Tensor) and v.ndim == 0 else v for n, v in row.items()}
    allowed = (numbers.Real, np.bool_, *([str] if named else []))
    if not row or not all(isinstance(value, allowed) for value in row.values()):
        raise TypeError(
            "a measure gives a table (a pandas DataFrame), a number, or numbers by name; got "
            f"{shortened(measured)}"
        )
    return pd.DataFrame([row])


def chosen_checkpoints(run: Run, checkpoints: Checkpoints) -> list[int]:
    """Sequences seen at the chosen checkpoints of a run; None chooses all.

    Raises:
        TypeError: It is no run.
        RunError: It lacks one of them, or has none.
    """
    if not isinstance(run, Run):
        raise TypeError(f"the run is one that load_run or train gave; got {shortened(run)}")
    kept = run.checkpoints
    if checkpoints is None or (isinstance(checkpoints, str) and checkpoints == "all"):
        run.checkpoint_path("first")  # a run without checkpoints is an error, not an empty table
        return kept
    if isinstance(checkpoints, Tensor | np.ndarray):
        checkpoints = checkpoints.tolist()
    chosen: Any = checkpoints
    if isinstance(chosen, str) or not isinstance(chosen, Iterable):
        chosen = [chosen]
    # The path of one that is not there says what is wrong, before any time is spent.
    return [int(run.checkpoint_path(each).stem) for each in chosen]
