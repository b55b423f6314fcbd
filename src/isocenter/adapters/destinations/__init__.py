"""Where images are sent."""
