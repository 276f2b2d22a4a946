"""Figures of the induction-head study (thesis, chapter 4 and appendix C), a verdict with each."""
