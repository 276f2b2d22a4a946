"""Thesis, Figure 4.9: what more classes and more labels delay."""

from coopetition_interp.figures.induction_heads.script import run_script
from coopetition_interp.figures.induction_heads.subcircuits import scaling

if __name__ == "__main__":
    run_script(__doc__, __file__, scaling)
