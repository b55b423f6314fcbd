"""Reference fakes that keep everything in memory: simple, obviously right, shipped for tests."""
