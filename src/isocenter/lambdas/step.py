"""Does one task of a job, or ends an attempt of it, as a state machine asks."""

from __future__ import annotations

from isocenter.bootstrap.functions.opened import ready
from isocenter.bootstrap.functions.step import open_step

handler = ready(open_step)
