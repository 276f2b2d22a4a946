"""From tables to what a reader sees: figures, rules and verdicts, and the page."""

from coopetition_interp.reporting.write import write_figure

__all__ = ["write_figure"]
