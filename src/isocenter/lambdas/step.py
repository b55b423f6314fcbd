"""Does one task of a job, or ends an attempt of it, as a state machine asks."""

from __future__ import annotations

from isocenter.bootstrap.functions.step import open_step

handler = open_step()
