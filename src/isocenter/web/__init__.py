"""The HTTP surface: routes, who may call them, and how errors are answered."""
