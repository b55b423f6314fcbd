"""What moto's server lacks for what Terraform deployed, one module for each service; each patch says why it is there.

The patches reach into moto's own modules, so that its version is pinned exactly (pyproject.toml).
"""

from __future__ import annotations

from typing import Any


def replaced(owner: Any, name: str, by: Any) -> Any:
    """Put something in place of an attribute, and get what was there."""
    before = getattr(owner, name)
    setattr(owner, name, by)
    return before
