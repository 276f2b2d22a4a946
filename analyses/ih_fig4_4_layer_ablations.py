"""Thesis, Figure 4.4: each layer's direct path to the output, cut at every checkpoint."""

from coopetition_interp.figures.induction_heads.emergence import layer_ablations
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, layer_ablations)
