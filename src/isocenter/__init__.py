"""Isocenter: a medical-imaging gateway and pipeline."""

__version__ = "0.1.0"
