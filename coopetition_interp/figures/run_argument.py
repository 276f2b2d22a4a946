"""The command line that scripts about one run share: which run, and where figures go."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from coopetition_interp.training import ConfigError, Run, RunError, load_run


def run_and_folder(
    description: str | None, preset: str = "laptop", arguments: Sequence[str] | None = None
) -> tuple[Run, Path]:
    """Read ``RUN [--out DIR]`` (or ``--run RUN``) from the command line and open the run.

    Exits with status 2, and a line that says how to make the run, if it is not there or has no
    metrics yet.

    Args:
        description: Of the script, for ``--help``.
        preset: The preset that makes such a run.
        arguments: Words after the script's name; by default those it was called with.

    Returns:
        The run, and the folder for the figures: ``figures`` inside it unless ``--out`` says.
    """
    parser = argparse.ArgumentParser(description=description)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("run", nargs="?", type=Path, metavar="RUN", help="directory of the run")
    which.add_argument("--run", dest="named_run", type=Path, metavar="RUN", help="the same")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for what is written (RUN/figures)"
    )
    options = parser.parse_args(arguments)
    path: Path = options.run or options.named_run
    if not (path / "config.json").is_file():
        parser.error(
            f"{path} holds no run: make it by `coopetition-interp train {preset} --out {path}`"
        )
    try:
        run = load_run(path)
        if run.metrics.empty:
            parser.error(
                f"{path} has not been evaluated yet: wait, or, if it was stopped, go on with it "
                f"by `coopetition-interp train --resume {path}`"
            )
    except (RunError, ConfigError) as error:
        parser.error(str(error))
    return run, options.out or path / "figures"
