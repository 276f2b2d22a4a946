"""The induction-head study: its runs, and a file for each figure and table."""
