"""What is written down of each instance: which rule did what, how often, and what the checks found. No values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from isocenter import __version__
from isocenter.dicom.dictionary import keyword_of


@dataclass(slots=True)
class Evidence:
    """The record of one instance, released or refused; `model` is its JSON."""

    profile: str
    profile_sha256: str
    edition: str
    key: str
    source_sha256: str = ""
    source_bytes: int = 0
    output_sha256: str = ""
    output_bytes: int = 0
    sop_class_uid: str = ""
    patient: str = ""  # the pseudonym
    study_instance_uid: str = ""  # the new ones
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    actions: Sequence[tuple[int, str, str, int]] = ()
    echoes: Sequence[tuple[int, int]] = ()
    looked_for: int = 0
    scanned_bytes: int = 0
    pixels: dict[str, Any] | None = None
    codestreams_cleaned: int = 0
    defaced_by: str | None = None
    warnings: list[str] = field(default_factory=list)

    def model(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {
            "software": f"isocenter {__version__}",
            "profile": self.profile,
            "profile_sha256": self.profile_sha256,
            "edition": self.edition,
            "key": self.key,
            "source": {"sha256": self.source_sha256, "bytes": self.source_bytes},
            "output": {"sha256": self.output_sha256, "bytes": self.output_bytes},
            "sop_class_uid": self.sop_class_uid,
            "patient": self.patient,
            "study_instance_uid": self.study_instance_uid,
            "series_instance_uid": self.series_instance_uid,
            "sop_instance_uid": self.sop_instance_uid,
            "actions": self._by_rule(),
            "scan": {
                "identifiers": self.looked_for,
                "bytes": self.scanned_bytes,
                "echoes": {keyword_of(tag): count for tag, count in self.echoes},
                "left": 0,
            },
            "pixels": self.pixels,
            "codestreams_cleaned": self.codestreams_cleaned,
            "defaced_by": self.defaced_by,
            "warnings": self.warnings,
        }

    def _by_rule(self) -> list[dict[str, Any]]:
        """What each rule did: attributes by keyword, or tag where they have none, and how often each."""
        found: dict[tuple[str, str], dict[str, int]] = {}
        for tag, action, rule, count in self.actions:
            found.setdefault((rule, action), {})[keyword_of(tag)] = count
        return [{"rule": rule, "action": action, "attributes": done} for (rule, action), done in found.items()]
