"""Which checkpoints a small copy keeps."""

from pathlib import Path

import numpy as np

from coopetition_interp.analysis.moments import moments_of
from coopetition_interp.analysis.thin_run import thin_run
from coopetition_interp.training import load_run

LAPTOP = Path(__file__).parents[2] / "checkpoints" / "laptop"


def test_a_copy_keeps_the_ends_and_what_is_nearest_to_flips_peak_and_crossing(tmp_path):
    run = load_run(LAPTOP)
    copy = thin_run(run, tmp_path / "copy")
    found = moments_of(run.metrics)
    there = np.array(run.checkpoints)
    nearest = {int(there[np.abs(there - at).argmin()]) for at in (found.peak, found.crossing)}
    assert copy.checkpoints == sorted({there[0], there[-1], *nearest})
    assert copy.metrics.equals(run.metrics)
