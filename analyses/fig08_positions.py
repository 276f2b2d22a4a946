"""Coopetition paper, Figure 8: other positional embeddings."""

from coopetition_interp.figures.coopetition.emergence import positions
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, positions, sweep="coopetition")
