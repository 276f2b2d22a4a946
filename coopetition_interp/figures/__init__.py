"""Figures: functions from a tidy table to a plotly figure, and their writing to files."""

from .write import write_figure

__all__ = ["write_figure"]
