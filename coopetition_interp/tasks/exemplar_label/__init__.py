"""Sequences of exemplar-label pairs, and the transformer that answers their query."""
