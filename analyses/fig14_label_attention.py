"""Coopetition paper, Figure 14: layer 0's attention from label tokens."""

from coopetition_interp.figures.coopetition.layers import label_attention
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, label_attention, sweep="coopetition")
