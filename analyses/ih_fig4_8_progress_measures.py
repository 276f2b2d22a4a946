"""Thesis, Figure 4.8: clamps throughout training beside progress measures."""

from coopetition_interp.figures.induction_heads.script import run_script
from coopetition_interp.figures.induction_heads.subcircuits import progress_measures

if __name__ == "__main__":
    run_script(__doc__, __file__, progress_measures)
