"""What a server does by itself every ten minutes."""

from __future__ import annotations

from isocenter.bootstrap.functions.maintenance import open_maintenance
from isocenter.bootstrap.functions.opened import ready

handler = ready(open_maintenance)
