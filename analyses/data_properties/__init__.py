"""What properties of the data bring in-context learning about (thesis, chapter 2)."""
