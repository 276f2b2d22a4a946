"""Coopetition paper, Figure 17: the toy model without a floor under mechanism 1, over seeds.

The sudden drops of mechanism 2 late in some seeds come from the paper's learning rate of 1, at the
edge of stability there: they are gone at 0.5.
"""

import argparse
from pathlib import Path

from coopetition_interp.analysis.toy_seeds import run_toy_seeds
from coopetition_interp.figures.toy_models import write_toy_seeds
from coopetition_interp.toy_models import CoopetitionModel


def main() -> None:
    """Simulate, print what became of each seed, write tables and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables and figure")
    parser.add_argument("--seeds", type=int, default=12, help="how many seeds, from 0")
    parser.add_argument("--steps", type=int, default=16_000, help="gradient descent steps, at most")
    parser.add_argument("--every", type=int, default=20, help="steps between points of the table")
    arguments = parser.parse_args()

    runs = run_toy_seeds(
        CoopetitionModel(mu1=0.0), range(arguments.seeds), arguments.steps, arguments.every
    )
    print(runs.report())
    write_toy_seeds(runs, arguments.out / "fig17_toy_no_transience")


if __name__ == "__main__":
    main()
