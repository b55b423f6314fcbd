"""The algorithms that Isocenter brings."""
