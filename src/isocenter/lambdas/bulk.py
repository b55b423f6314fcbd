"""Takes in what a manifest names, a batch at a time, as a state machine asks."""

from __future__ import annotations

from isocenter.bootstrap.functions.bulk import open_bulk
from isocenter.bootstrap.functions.opened import ready

handler = ready(open_bulk)
