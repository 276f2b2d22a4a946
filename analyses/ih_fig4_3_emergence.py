"""Thesis, Figure 4.3: loss and induction strengths of the main run."""

from coopetition_interp.figures.induction_heads.emergence import emergence
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, emergence)
