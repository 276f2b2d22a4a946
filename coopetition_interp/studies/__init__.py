"""Studies: what a sweep's figures are drawn from, as tables that a small copy of it keeps.

A `Study` is a sweep's directory, or the small copy of one that `pack_study` writes: the same tables
come from both, computed from weights in the one and read in the other.
"""

from coopetition_interp.studies.contents import STUDIES
from coopetition_interp.studies.pack import pack_study
from coopetition_interp.studies.study import MissingRunsError, Study, StudyError, StudyTable

__all__ = ["STUDIES", "MissingRunsError", "Study", "StudyError", "StudyTable", "pack_study"]
