"""Coopetition paper, Figure 18b: main's ICL heads ablated from the start."""

from coopetition_interp.figures.coopetition.competition import ablated
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, ablated, sweep="coopetition")
