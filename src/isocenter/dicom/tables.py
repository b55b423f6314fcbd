"""pydicom's tables of PS3.6 by themselves: to load all of pydicom takes ten times as long, and loads NumPy too."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

Entry = tuple[str, str, str, str, str]  # VR, VM, name, "Retired" or nothing, keyword


def _table(name: str) -> ModuleType:
    """A module of pydicom that holds nothing but a table."""
    package = find_spec("pydicom")
    assert package is not None
    assert package.origin is not None
    spec = spec_from_file_location(f"{__name__}.{name}", Path(package.origin).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_ATTRIBUTES = _table("_dicom_dict")

ATTRIBUTES: Final[dict[int, Entry]] = _ATTRIBUTES.DicomDictionary
REPEATERS: Final[dict[str, Entry]] = _ATTRIBUTES.RepeatersDictionary  # by masks, as 60xx3000
UIDS: Final[dict[str, tuple[str, str, str, str, str]]] = _table("_uid_dict").UID_dictionary  # name, type, info, ...


@cache
def private_attributes() -> dict[str, dict[str, tuple[str, str, str, str]]]:
    """VR, VM and name of private attributes by creator and masked tag; large, and seldom needed."""
    found: dict[str, dict[str, tuple[str, str, str, str]]] = _table("_private_dict").private_dictionaries
    return found


@cache
def tags() -> dict[str, int]:
    """The tag of each keyword."""
    return {entry[4]: tag for tag, entry in ATTRIBUTES.items() if entry[4]}
