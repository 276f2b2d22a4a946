"""Coopetition paper, Figure 9: fewer classes or exemplars."""

from coopetition_interp.figures.coopetition.emergence import sizes
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, sizes, sweep="coopetition")
