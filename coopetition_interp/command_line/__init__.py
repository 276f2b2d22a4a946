"""The `coopetition-interp` command."""

from coopetition_interp.command_line.main import main

__all__ = ["main"]
