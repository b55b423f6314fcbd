"""Handlers of AWS Lambda: what a function is given goes to `bootstrap.functions`, and nothing is decided here."""
