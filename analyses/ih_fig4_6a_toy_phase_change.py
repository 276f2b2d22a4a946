"""Thesis, Figure 4.6a: the toy phase change with nothing, c, or b and c clamped."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from coopetition_interp.figures import write_figure
from coopetition_interp.figures.toy_models import phase_change_figure
from coopetition_interp.toy_models import (
    PHASE_CHANGE_CLAMPS,
    PHASE_CHANGE_LOSS,
    plateau_end,
    simulate_phase_change,
)


def main() -> None:
    """Simulate, print when each seed leaves the plateau, write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the table and figure")
    parser.add_argument("--seed", type=int, default=1, help="the seed that is drawn")
    parser.add_argument("--seeds", type=int, default=12, help="how many seeds, from 0, are counted")
    parser.add_argument("--steps", type=int, default=1000, help="gradient descent steps")
    arguments = parser.parse_args()
    stem = arguments.out / "ih_fig4_6a_toy_phase_change"
    arguments.out.mkdir(parents=True, exist_ok=True)

    curves, ends = [], {}
    for name, clamped in PHASE_CHANGE_CLAMPS.items():
        drawn = simulate_phase_change([arguments.seed], clamped, arguments.steps)
        curves.append(drawn.table({"loss": PHASE_CHANGE_LOSS}).assign(clamped=name))
        counted = simulate_phase_change(range(arguments.seeds), clamped, arguments.steps)
        ends[name] = plateau_end(counted, PHASE_CHANGE_LOSS)
        left = np.isfinite(ends[name])
        half_left = np.median(np.where(left, ends[name], np.inf))
        print(
            f"{name} clamped: {left.sum()} of {arguments.seeds} seeds leave the plateau within "
            f"{arguments.steps} steps, half of all by step {half_left:.0f}; seed {arguments.seed} "
            f"at {plateau_end(drawn, PHASE_CHANGE_LOSS)[0]:.0f}"
        )
    table = pd.concat(curves, ignore_index=True)
    table.to_csv(stem.with_suffix(".csv"), index=False)
    pd.DataFrame({"seed": range(arguments.seeds)} | ends).to_csv(
        f"{stem}_plateau_ends.csv", index=False
    )
    write_figure(phase_change_figure(table), stem)


if __name__ == "__main__":
    main()
