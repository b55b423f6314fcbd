"""What happens to an image after it came in; `ingest` is the one front door."""
