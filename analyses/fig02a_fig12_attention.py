"""Coopetition paper, Figures 2a and 12: layer 1 attends from the query to the right label."""

from coopetition_interp.figures.coopetition.skip_trigrams import attention
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, attention, sweep="coopetition")
