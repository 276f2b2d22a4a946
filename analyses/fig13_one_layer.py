"""Coopetition paper, Figure 13: one layer learns CIWL and no in-context learning."""

from coopetition_interp.figures.coopetition.skip_trigrams import one_layer
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, one_layer, sweep="coopetition")
