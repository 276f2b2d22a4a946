"""Coopetition paper, appendix C.1: pure in-weights learning without heads."""

from coopetition_interp.figures.coopetition.layers import embedding
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, embedding, sweep="coopetition")
