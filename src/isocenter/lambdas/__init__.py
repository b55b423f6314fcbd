"""Handlers of AWS Lambda: what a function is given goes to `bootstrap.functions`, and nothing is decided here."""

import gc

gc.disable()  # until the function is open: what imports make is no garbage, and to look for some takes a sixth of them
