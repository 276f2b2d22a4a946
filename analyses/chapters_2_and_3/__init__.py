"""What the studies of chapters 2 and 3 share: their setting, curves and their shapes."""
