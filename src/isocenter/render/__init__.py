"""Pixels to pictures: pure, run in a worker process where the data are untrusted."""
