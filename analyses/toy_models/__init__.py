"""The toy models: a file for each figure. Nothing is trained; a figure simulates in seconds."""
