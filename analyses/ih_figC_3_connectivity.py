"""Thesis, Figure C.3: which layer-0 heads each layer-1 head relies on, three ways."""

from coopetition_interp.figures.induction_heads.appendix_circuits import connectivity
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, connectivity)
