"""Figures of the coopetition paper from a study's runs, a verdict with each."""
