"""Inboxes: a folder, and a prefix in a bucket."""
