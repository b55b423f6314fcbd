"""Transactions over ports: store, search, retrieve, picture, delete, check."""
