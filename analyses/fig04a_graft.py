"""Coopetition paper, Figure 4a: ICL-only data with layer 1 of main's end, and without."""

from coopetition_interp.figures.coopetition.cooperation import graft
from coopetition_interp.figures.study_script import run_script

if __name__ == "__main__":
    run_script(__doc__, __file__, graft, sweep="coopetition")
