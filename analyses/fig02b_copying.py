"""Coopetition paper, Figure 2b: each head of layer 1 copies the label it attends to."""

from coopetition_interp.figures.coopetition.skip_trigrams import copying
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, copying, sweep="coopetition")
