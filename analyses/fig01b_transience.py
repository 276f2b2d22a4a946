"""Coopetition paper, Figure 1b: in-context learning emerges, dominates, and gives way to CIWL."""

from coopetition_interp.analysis.landmarks import landmarks
from coopetition_interp.figures.run_argument import run_and_folder
from coopetition_interp.reporting import write_figure
from coopetition_interp.reporting.evaluators import FIGURE_1B_EVALUATORS, evaluator_curves
from coopetition_interp.reporting.transience import transience_numbers


def main() -> None:
    """Draw the evaluators of a run; print its landmarks beside the paper's."""
    run, folder = run_and_folder(__doc__)
    stem = folder / "fig01b_transience"
    folder.mkdir(parents=True, exist_ok=True)

    metrics = run.metrics
    found = landmarks(metrics)
    numbers = transience_numbers(found)
    print(numbers.to_string(index=False))

    drawn = metrics[metrics["evaluator"].isin(FIGURE_1B_EVALUATORS)]
    drawn.to_csv(stem.with_suffix(".csv"), index=False)
    numbers.to_csv(f"{stem}_numbers.csv", index=False)
    figure = evaluator_curves(metrics, landmarks=found, title=f"Transience of ICL: {run.path.name}")
    for path in write_figure(figure, stem):
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
