"""Shipped test aids: a contract suite for each port, and builders."""
