"""Thesis, Figure 4.7: the clamp shows a smooth exponential, progress measures a phase change."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from coopetition_interp.figures import write_figure
from coopetition_interp.figures.toy_models import progress_measures_figure
from coopetition_interp.toy_models import (
    PHASE_CHANGE_LOSS,
    first_step_where,
    loss_with_final,
    loss_with_targets,
    plateau_end,
    simulate_phase_change,
    squared_cosine,
)


def main() -> None:
    """Simulate, print when each curve is half way, write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the table and figure")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1000, help="gradient descent steps")
    arguments = parser.parse_args()
    stem = arguments.out / "ih_fig4_7_toy_progress_measures"
    arguments.out.mkdir(parents=True, exist_ok=True)

    plain = simulate_phase_change([arguments.seed], steps=arguments.steps)
    clamped = simulate_phase_change([arguments.seed], ("b", "c"), steps=arguments.steps)
    cosine = squared_cosine(plain, "a")
    perfected = loss_with_targets(plain, PHASE_CHANGE_LOSS, ["b", "c"])
    final = loss_with_final(plain, PHASE_CHANGE_LOSS, ["b", "c"])
    training = {"training loss": PHASE_CHANGE_LOSS}
    table = pd.concat(
        [
            plain.table(training).assign(clamped="nothing"),
            clamped.table(training).assign(clamped="b and c"),
            plain.table_of_values(
                {
                    "squared cosine of a and its target": cosine,
                    "loss with b and c at their targets": perfected,
                    "loss with b and c from the end": final,
                }
            ).assign(clamped="nothing"),
        ],
        ignore_index=True,
    )
    half = 0.5 * plain.saddle_value(PHASE_CHANGE_LOSS)
    for name, half_way in {
        "training loss, nothing clamped": plateau_end(plain, PHASE_CHANGE_LOSS),
        "training loss, b and c clamped": plateau_end(clamped, PHASE_CHANGE_LOSS),
        "squared cosine of a": first_step_where(cosine > 0.5),
        "loss with b and c at their targets": first_step_where(perfected < half),
        "loss with b and c from the end": first_step_where(final < half),
    }.items():
        reached = np.isfinite(half_way[0])
        print(f"{name}: " + (f"half way at step {half_way[0]:.0f}" if reached else "not half way"))
    # A solution is fixed up to scale only, so this need not end at zero.
    print(f"loss with b and c at their targets, at the end: {perfected[-1, 0]:.4f}")
    table.to_csv(stem.with_suffix(".csv"), index=False)
    write_figure(progress_measures_figure(table), stem, width=1400, height=400)


if __name__ == "__main__":
    main()
