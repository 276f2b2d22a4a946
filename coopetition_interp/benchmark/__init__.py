"""`coopetition-interp bench`: speed as ratios measured side by side, in one run."""

from coopetition_interp.benchmark.run import PARTS, run_benchmark

__all__ = ["PARTS", "run_benchmark"]
