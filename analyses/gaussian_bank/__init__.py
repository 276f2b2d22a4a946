"""What a bank of Gaussian classes teaches: in-context learning outvoted by the direct path."""
