"""Thesis, Table C.3: previous-token heads and the rest of layer 0 ablated."""

from coopetition_interp.figures.induction_heads.appendix_circuits import layer_0_heads
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, layer_0_heads)
