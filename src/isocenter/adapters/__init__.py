"""Each backend, told to speak through the ports."""
