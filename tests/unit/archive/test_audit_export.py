"""Audit entries as other systems take them: the structure that FHIR R4 and PS3.15 A.5.1 ask for."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Set
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.archive.audit_export import FORMATS, dicom_line, fhir_audit_event, json_line, meaning_of
from isocenter.records import AuditEntry

AT = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ACTIONS = (
    "store", "read", "read.frames", "read.metadata", "search", "delete", "restore", "purge", "login",
    "key.new",
    "key.revoke", "audit.verify", "audit.export", "process", "deliver", "admin", "something new",
)  # fmt: skip
OUTCOMES = ("success", "denied", "failed", "duplicate", "conflict")

entries = st.builds(
    AuditEntry,
    actor=st.text(min_size=1, max_size=40),
    action=st.sampled_from(ACTIONS) | st.text(min_size=1, max_size=20),
    outcome=st.sampled_from(OUTCOMES),
    at=st.just(AT),
    store=st.none() | st.text(min_size=1, max_size=10),
    image=st.none() | st.text(min_size=1, max_size=10),
    request_id=st.none() | st.text(min_size=1, max_size=10),
    address=st.none() | st.ip_addresses().map(str) | st.just("host.example"),
    count=st.integers(1, 1000),
    sequence=st.integers(1, 10**9),
    digest=st.just("0" * 64),
)


def coding(value: dict[str, Any]) -> None:
    assert set(value) <= {"system", "code", "display"}
    assert re.fullmatch(r"[^\s]+(\s[^\s]+)*", value["code"]) or value["code"].strip() != value["code"]
    assert re.match(r"(http|urn):", value["system"])


@given(entries)
def test_an_entry_is_a_fhir_r4_audit_event(entry: AuditEntry) -> None:
    found = json.loads(json.dumps(fhir_audit_event(entry)))
    required = {"resourceType", "type", "recorded", "agent", "source"}
    assert required <= set(found) <= required | {"id", "subtype", "action", "outcome", "outcomeDesc", "entity"}
    assert found["resourceType"] == "AuditEvent"
    assert re.fullmatch(r"[A-Za-z0-9.-]{1,64}", found["id"])
    for each in (found["type"], *found["subtype"]):
        coding(each)
    assert found["action"] in "CRUDE"
    assert found["outcome"] in ("0", "4", "8", "12")
    assert datetime.fromisoformat(found["recorded"]).tzinfo is not None
    (agent,) = found["agent"]
    assert agent["requestor"] is True
    assert agent["who"]["identifier"]["value"] == entry.actor
    assert agent.get("network", {"type": "2"})["type"] in ("1", "2", "3", "4", "5")
    assert found["source"]["observer"]["identifier"]["value"]
    for entity in found["entity"]:  # sev-1: a name or a query, not both; we give neither
        assert set(entity) <= {"what", "type", "role", "detail"}
        coding(entity["type"])
        coding(entity["role"])
        for detail in entity.get("detail", []):
            assert set(detail) == {"type", "valueString"}
            assert detail["valueString"]


def attributes(element: ElementTree.Element, required: set[str], optional: Set[str] = frozenset()) -> None:
    assert required <= set(element.attrib) <= required | optional


def coded(element: ElementTree.Element) -> None:
    attributes(element, {"csd-code", "codeSystemName", "originalText"}, {"displayName"})


@given(entries)
def test_an_entry_is_a_dicom_audit_message(entry: AuditEntry) -> None:
    """The schema of PS3.15 A.5.1: names, order, cardinality and the values that are enumerated."""
    line = dicom_line(entry)
    assert "\n" not in line
    message = ElementTree.fromstring(line)
    assert message.tag == "AuditMessage"
    tags = [child.tag for child in message]
    assert tags[0] == "EventIdentification"
    order = [
        "EventIdentification",
        "ActiveParticipant",
        "AuditSourceIdentification",
        "ParticipantObjectIdentification",
    ]
    assert [order.index(tag) for tag in tags] == sorted(order.index(tag) for tag in tags)
    assert tags.count("EventIdentification") == tags.count("AuditSourceIdentification") == 1
    event = message[0]
    attributes(event, {"EventActionCode", "EventDateTime", "EventOutcomeIndicator"})
    assert event.get("EventActionCode") in set("CRUDE")
    assert event.get("EventOutcomeIndicator") in ("0", "4", "8", "12")
    assert datetime.fromisoformat(event.attrib["EventDateTime"]) == AT
    assert event[0].tag == "EventID"
    assert event[0].get("codeSystemName") == "DCM"
    assert re.fullmatch("1101[01][0-9]", event[0].attrib["csd-code"])
    for child in event[:-1]:
        coded(child)
    assert event[-1].tag == "EventOutcomeDescription"
    asking = [each for each in message.iter("ActiveParticipant") if each.get("UserIsRequestor") == "true"]
    assert len(asking) == 1
    for each in message.iter("ActiveParticipant"):
        attributes(each, {"UserID", "UserIsRequestor"}, {"NetworkAccessPointID", "NetworkAccessPointTypeCode"})
        for role in each.iter("RoleIDCode"):
            coded(role)
    for each in message.iter("ParticipantObjectIdentification"):
        attributes(each, {"ParticipantObjectID", "ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole"})
        assert 1 <= int(each.attrib["ParticipantObjectTypeCodeRole"]) <= 26
        assert each[0].tag == "ParticipantObjectIDTypeCode"
        assert each[1].tag == "ParticipantObjectName"
        coded(each[0])
        for detail in each[2:]:
            assert detail.tag == "ParticipantObjectDetail"
            attributes(detail, {"type", "value"})
            base64.b64decode(detail.attrib["value"], validate=True)


@given(entries)
def test_a_json_line_holds_all_there_is(entry: AuditEntry) -> None:
    found = json.loads(json_line(entry))
    assert AuditEntry(**{**found, "at": datetime.fromisoformat(found["at"])}) == entry


@pytest.mark.parametrize(
    ("action", "event", "access"),
    [
        ("store", "110104", "C"), ("read.frames", "110103", "R"), ("search", "110112", "E"),
        ("delete", "110103", "D"), ("login", "110114", "E"), ("key.new", "110113", "E"),
        ("audit.export", "110101", "R"), ("whatever", "110113", "E"),
    ],
)  # fmt: skip
def test_actions_have_their_event_in_the_standard(action: str, event: str, access: str) -> None:
    assert (meaning_of(action).event.code, meaning_of(action).access) == (event, access)


def test_every_format_is_one_line_an_entry() -> None:
    entry = AuditEntry("a\nb\r\x00\x0b", "read\n", "denied", AT, "raw", "x", "r\n", "::1", 3, 9, "d")
    for line in FORMATS.values():
        assert "\n" not in line(entry)
        assert "\r" not in line(entry)
