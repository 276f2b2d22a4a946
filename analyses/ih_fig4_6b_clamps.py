"""Thesis, Figure 4.6b: training with steps of the induction circuit clamped."""

from coopetition_interp.figures.induction_heads.subcircuits import clamps
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, clamps)
