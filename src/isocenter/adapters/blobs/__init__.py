"""Where bytes are kept: a folder on this machine, or any object store that obstore knows."""
