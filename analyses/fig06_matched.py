"""Coopetition paper, Figure 6: matched exemplars make in-context learning persist."""

from coopetition_interp.figures.coopetition.competition import matched
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, matched, sweep="coopetition")
