"""Coopetition paper, Figure 11: accuracy over all labels in a long run."""

from coopetition_interp.figures.coopetition.emergence import long_run
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, long_run, sweep="coopetition")
