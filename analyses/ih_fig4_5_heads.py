"""Thesis, Figure 4.5: heads ablated, heads alone, and networks trained with one head."""

from coopetition_interp.figures.induction_heads.emergence import heads
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, heads)
