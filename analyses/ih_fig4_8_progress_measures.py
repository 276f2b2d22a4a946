"""Thesis, Figure 4.8: clamps throughout training beside progress measures."""

from coopetition_interp.figures.induction_heads.subcircuits import progress_measures
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, progress_measures)
