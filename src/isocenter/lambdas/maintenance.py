"""What a server does by itself every ten minutes."""

from __future__ import annotations

from isocenter.bootstrap.functions.maintenance import open_maintenance

handler = open_maintenance()
