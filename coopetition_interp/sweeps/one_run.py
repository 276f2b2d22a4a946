"""A run of a sweep by itself, in whatever process it is sent to."""

from __future__ import annotations

import traceback

from coopetition_interp.sweeps.other_config import difference
from coopetition_interp.training import RunConfig, resume, train
from coopetition_interp.training.run_directory import RunDirectory


def do_run(config: RunConfig, out: str) -> str:
    """Begins it or goes on with it; returns what went wrong, or nothing."""
    try:
        if RunDirectory(out).config_path.exists():
            if other := difference(RunDirectory(out).read_config(), config):
                return f"{out} {other}"
            resume(out, progress=False)
        else:
            train(config, out, progress=False)
    except (ValueError, RuntimeError, OSError) as error:
        return str(error) or traceback.format_exc()
    except Exception:  # whatever it is, the other runs go on
        return traceback.format_exc()
    return ""
