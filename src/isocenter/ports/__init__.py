"""What Isocenter needs of the world outside, as Protocols of at most eight methods that carry only our values."""
