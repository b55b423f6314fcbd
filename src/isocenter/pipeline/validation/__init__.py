"""Validation: what of an image, a series or a batch is not as the standard has it, and what to do about it."""
