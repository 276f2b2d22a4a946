"""From tables to what a reader sees: verdicts on claims."""
