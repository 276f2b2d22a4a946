"""Coopetition paper, Figure 7: other seeds."""

from coopetition_interp.figures.coopetition.emergence import seeds
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, seeds, sweep="coopetition")
