"""Coopetition paper, Figure 5a: one seed of the toy model, its transience and its divot."""

import argparse
from pathlib import Path

from coopetition_interp.analysis.toy_seeds import run_toy_seeds
from coopetition_interp.figures.toy_models import write_toy_seeds
from coopetition_interp.toy_models import CoopetitionModel


def main() -> None:
    """Simulate, print what became of the seed, write tables and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables and figure")
    parser.add_argument("--seed", type=int, default=4, help="the paper does not name its seed")
    parser.add_argument("--steps", type=int, default=16_000, help="gradient descent steps, at most")
    parser.add_argument("--every", type=int, default=10, help="steps between points of the table")
    arguments = parser.parse_args()

    runs = run_toy_seeds(CoopetitionModel(), [arguments.seed], arguments.steps, arguments.every)
    print(runs.report())
    write_toy_seeds(runs, arguments.out / "fig05a_toy_coopetition", mark_divot=True)


if __name__ == "__main__":
    main()
