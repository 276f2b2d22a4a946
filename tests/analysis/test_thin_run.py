"""Which checkpoints a small copy keeps."""

from pathlib import Path

import numpy as np

from coopetition_interp.analysis.moments import moments_of
from coopetition_interp.analysis.thin_run import thin_run
from coopetition_interp.tasks.tokens import RepeatedTokens, TokenConfig, TokenModelConfig
from coopetition_interp.training import Schedule, load_run, train

TOKENS = TokenConfig(
    tokens=RepeatedTokens(d_vocab=8, n_block=4, n_excerpts=1),
    model=TokenModelConfig(n_layers=1, n_heads=1),
    n_sequences=96,
    n_evaluated=4,
    n_threads=1,
    evaluate_at=Schedule(every=32),
    checkpoint_at=Schedule(every=32),
)
LAPTOP = Path(__file__).parents[2] / "checkpoints" / "laptop"


def test_a_copy_keeps_the_ends_and_what_is_nearest_to_flips_peak_and_crossing(tmp_path):
    run = load_run(LAPTOP)
    copy = thin_run(run, tmp_path / "copy")
    found = moments_of(run.metrics)
    there = np.array(run.checkpoints)
    nearest = {int(there[np.abs(there - at).argmin()]) for at in (found.peak, found.crossing)}
    assert copy.checkpoints == sorted({there[0], there[-1], *nearest})
    assert copy.metrics.equals(run.metrics)


def test_of_a_run_without_such_moments_the_ends_are_kept(tmp_path):
    run = train(TOKENS, tmp_path / "run", progress=False)
    assert thin_run(run, tmp_path / "ends").checkpoints == [0, 96]
    assert thin_run(run, tmp_path / "one", ["last"]).checkpoints == [96]
