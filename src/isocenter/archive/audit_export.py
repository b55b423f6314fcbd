"""Audit entries for other systems: JSON lines, FHIR R4 AuditEvents, DICOM audit messages (PS3.15 A.5)."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from isocenter.records import AuditEntry

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"
_OURS = "urn:isocenter:audit"
_SOURCE = "isocenter"
# What XML 1.0 (2.2) cannot carry even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Coded:
    """A code of the DICOM Controlled Terminology (PS3.16 Annex D)."""

    code: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """An action in the standards: its event (PS3.16 CID 400), event type (CID 401) and kind of access."""

    event: Coded
    access: str  # C, R, U, D or E
    type: Coded | None = None


_TRANSFERRED = Coded("110104", "DICOM Instances Transferred")
_ACCESSED = Coded("110103", "DICOM Instances Accessed")
_QUERY = Coded("110112", "Query")
_ALERT = Coded("110113", "Security Alert")
_KEYS_CHANGED = Meaning(_ALERT, "E", Coded("110137", "User Security Attributes Changed"))
_RESTRICTED = Meaning(_ALERT, "E", Coded("110132", "Use of Restricted Function"))
_MEANINGS: Mapping[str, Meaning] = {
    "store": Meaning(_TRANSFERRED, "C"),
    "deliver": Meaning(_TRANSFERRED, "C"),
    "read": Meaning(_ACCESSED, "R"),
    "search": Meaning(_QUERY, "E"),
    "process": Meaning(_ACCESSED, "U"),
    "restore": Meaning(_ACCESSED, "U"),
    "delete": Meaning(_ACCESSED, "D"),
    "purge": Meaning(_ACCESSED, "D"),
    "login": Meaning(Coded("110114", "User Authentication"), "E", Coded("110122", "Login")),
    "key": _KEYS_CHANGED,
    "audit": Meaning(Coded("110101", "Audit Log Used"), "R"),
}
# Event Outcome Indicator: success, minor failure, serious failure (PS3.15 A.5.1).
_OUTCOMES = {"success": "0", "duplicate": "0", "denied": "8"}


def meaning_of(action: str) -> Meaning:
    """An action by its name or the part before its first dot ("read.frames" is a read)."""
    return _MEANINGS.get(action) or _MEANINGS.get(action.partition(".")[0]) or _RESTRICTED


def _outcome(entry: AuditEntry) -> str:
    return _OUTCOMES.get(entry.outcome, "4")


def json_line(entry: AuditEntry) -> str:
    """The entry as it is kept, all that its digest is over included."""
    return json.dumps({
        "sequence": entry.sequence,
        "at": entry.at.isoformat(),
        "actor": entry.actor,
        "action": entry.action,
        "outcome": entry.outcome,
        "store": entry.store,
        "image": entry.image,
        "count": entry.count,
        "request_id": entry.request_id,
        "address": entry.address,
        "digest": entry.digest,
    })  # fmt: skip


def fhir_line(entry: AuditEntry) -> str:
    return json.dumps(fhir_audit_event(entry))


def fhir_audit_event(entry: AuditEntry) -> dict[str, Any]:
    """A FHIR R4 AuditEvent (http://hl7.org/fhir/R4/auditevent.html)."""
    meaning = meaning_of(entry.action)
    subtypes = [{"system": f"{_OURS}:action", "code": entry.action}]
    if meaning.type is not None:
        subtypes.insert(0, _coding(_DCM, meaning.type.code, meaning.type.meaning))
    agent: dict[str, Any] = {
        "who": {"identifier": {"system": f"{_OURS}:actor", "value": entry.actor}},
        "requestor": True,
    }
    if entry.address:
        agent["network"] = {"address": entry.address, "type": _network_type(entry.address)}
    return {
        "resourceType": "AuditEvent",
        "id": f"isocenter-{entry.sequence}",
        "type": _coding(_DCM, meaning.event.code, meaning.event.meaning),
        "subtype": subtypes,
        "action": meaning.access,
        "recorded": entry.at.isoformat(),
        "outcome": _outcome(entry),
        "outcomeDesc": entry.outcome,
        "agent": [agent],
        "source": {
            "observer": {
                "identifier": {"system": f"{_OURS}:source", "value": _SOURCE},
                "display": "Isocenter",
            },
            "type": [_coding(_SOURCE_TYPE, "4", "Application Server")],
        },
        "entity": _fhir_entities(entry),
    }


def _fhir_entities(entry: AuditEntry) -> list[dict[str, Any]]:
    found = [_fhir_entity("entry", str(entry.sequence), "13", "Security Resource", _details(entry))]
    if entry.store:
        found.append(_fhir_entity("store", entry.store, "17", "Data Repository"))
    if entry.image:
        found.append(_fhir_entity("image", entry.image, "3", "Report"))
    return found


def _fhir_entity(
    kind: str, value: str, role: str, role_name: str, details: Mapping[str, str] | None = None
) -> dict[str, Any]:
    entity: dict[str, Any] = {
        "what": {"identifier": {"system": f"{_OURS}:{kind}", "value": value}},
        "type": _coding(_ENTITY_TYPE, "2", "System Object"),
        "role": _coding(_OBJECT_ROLE, role, role_name),
    }
    if details:
        entity["detail"] = [{"type": name, "valueString": text} for name, text in details.items()]
    return entity


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": system, "code": code, "display": display}


def _details(entry: AuditEntry) -> dict[str, str]:
    found = {"count": str(entry.count), "digest": entry.digest}
    if entry.request_id:
        found["request_id"] = entry.request_id
    return {name: text for name, text in found.items() if text}


def _network_type(address: str) -> str:
    """2 for an IP address, 1 for a machine's name (both standards share the code)."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return "1"
    return "2"


def dicom_line(entry: AuditEntry) -> str:
    """An AuditMessage (PS3.15 A.5.1) on one line, as RFC 5424 syslog takes it."""
    meaning = meaning_of(entry.action)
    message = ElementTree.Element("AuditMessage")
    event = ElementTree.SubElement(message, "EventIdentification", {
        "EventActionCode": meaning.access,
        "EventDateTime": entry.at.isoformat(),
        "EventOutcomeIndicator": _outcome(entry),
    })  # fmt: skip
    _code(event, "EventID", meaning.event.code, "DCM", meaning.event.meaning)
    if meaning.type is not None:
        _code(event, "EventTypeCode", meaning.type.code, "DCM", meaning.type.meaning)
    _code(event, "EventTypeCode", entry.action, "99ISOCENTER", entry.action)
    ElementTree.SubElement(event, "EventOutcomeDescription").text = _xml(entry.outcome)
    _participants(message, entry)
    source = ElementTree.SubElement(message, "AuditSourceIdentification", {"AuditSourceID": _SOURCE})
    _code(source, "AuditSourceTypeCode", "4", "DCM", "Application Server Process or Thread")
    _dicom_object(message, "entry", str(entry.sequence), "13", _details(entry))
    if entry.store:
        _dicom_object(message, "store", entry.store, "17")
    if entry.image:
        _dicom_object(message, "image", entry.image, "3")
    return ElementTree.tostring(message, encoding="unicode").replace("\r", "&#13;").replace("\n", "&#10;")


def _participants(message: ElementTree.Element, entry: AuditEntry) -> None:
    """Who asked, and the gateway that answered."""
    who = {"UserID": _xml(entry.actor), "UserIsRequestor": "true"}
    if entry.address:
        who |= {
            "NetworkAccessPointID": _xml(entry.address),
            "NetworkAccessPointTypeCode": _network_type(entry.address),
        }
    asking = ElementTree.SubElement(message, "ActiveParticipant", who)
    sends = entry.action == "store"
    code, meaning = ("110153", "Source Role ID") if sends else ("110152", "Destination Role ID")
    _code(asking, "RoleIDCode", code, "DCM", meaning)
    gateway = ElementTree.SubElement(message, "ActiveParticipant", {"UserID": _SOURCE, "UserIsRequestor": "false"})
    _code(gateway, "RoleIDCode", "110150", "DCM", "Application")


def _dicom_object(
    message: ElementTree.Element, kind: str, id: str, role: str, details: Mapping[str, str] | None = None
) -> None:
    """A system object (type 2) in one of the roles of RFC 3881 5.5."""
    found = ElementTree.SubElement(message, "ParticipantObjectIdentification", {
        "ParticipantObjectID": _xml(id),
        "ParticipantObjectTypeCode": "2",
        "ParticipantObjectTypeCodeRole": role,
    })  # fmt: skip
    _code(found, "ParticipantObjectIDTypeCode", kind, "99ISOCENTER", f"Isocenter {kind}")
    ElementTree.SubElement(found, "ParticipantObjectName").text = f"{kind} of the gateway"
    for name, text in (details or {}).items():
        value = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
        ElementTree.SubElement(found, "ParticipantObjectDetail", {"type": name, "value": value})


def _code(parent: ElementTree.Element, name: str, code: str, system: str, meaning: str) -> None:
    ElementTree.SubElement(
        parent, name, {"csd-code": _xml(code), "codeSystemName": system, "originalText": _xml(meaning)}
    )


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


FORMATS: Mapping[str, Callable[[AuditEntry], str]] = {
    "jsonl": json_line,
    "fhir": fhir_line,
    "dicom": dicom_line,
}
