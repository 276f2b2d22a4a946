"""Coopetition paper, Figure 15: heads differ on single sequences and do not add up."""

from coopetition_interp.figures.coopetition.skip_trigrams import superposition
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, superposition, sweep="coopetition")
