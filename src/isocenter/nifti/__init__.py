"""NIfTI: pure reading of headers and geometry."""
