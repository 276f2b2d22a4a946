"""What makes in-context learning transient, and what makes it stay (thesis, chapter 3)."""
