"""Measures Isocenter beside its peers: the same work, in one run, by turns."""
