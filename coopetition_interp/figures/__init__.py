"""The figures of the studies, until each is a file in `analyses/`."""
