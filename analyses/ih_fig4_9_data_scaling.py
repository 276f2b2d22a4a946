"""Thesis, Figure 4.9: what more classes and more labels delay."""

from coopetition_interp.figures.induction_heads.subcircuits import scaling
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, scaling)
