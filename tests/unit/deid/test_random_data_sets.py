"""Random Data Sets of every VR and nesting: they parse again, hold no source identifier, and keep their structure."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom._dicom_dict import DicomDictionary

from isocenter.deid import profile as profiles
from isocenter.deid.engine import Deidentifier
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.deid.source import InMemory, header_of
from isocenter.deid.table import table
from isocenter.dicom.dictionary import LONG_VRS, vr_of
from isocenter.dicom.elements import Element, Limits
from isocenter.testing.elements import element, implicit, item, meta, sequence

SECRET = bytes(range(32))
PROFILES = {name: Deidentifier(profiles.load(name), Pseudonyms(SECRET)) for name in ("basic", "tcia", "safe-harbor")}
NAME = b"Wqxzkortham"
NUMBER = b"QX7745190"
_TEXT = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR")
TAGS = sorted(
    tag
    for tag in {*table().rows, *(tag for tag in DicomDictionary if tag >> 16 in (0x0008, 0x0018, 0x0028, 0x0040))}
    if tag >> 16 >= 8 and tag & 0xFFFF and tag not in (0x00080005, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E,
                                                      0x00100010, 0x00100020, 0x00280301, 0x00420011)
    # UIDs that the table does not name are of classes and code schemes.
    and (vr_of(tag) != "UI" or table().row(tag))
)  # fmt: skip


@st.composite
def values(draw: st.DrawFn, vr: str) -> bytes:
    if vr in _TEXT:
        words = draw(st.lists(st.sampled_from([b"chest", NAME, NUMBER, b"x", b"1.25", b"axial"]), max_size=4))
        return b" ".join(words)
    if vr == "UI":
        return b"1.2.826.0.1.424242." + str(draw(st.integers(10**6, 10**9))).encode()
    if vr == "DA":
        return draw(st.dates()).strftime("%Y%m%d").rjust(8, "0").encode()
    if vr in ("DT", "TM", "DS", "IS", "AS"):
        return draw(st.sampled_from([b"", b"1", b"20200101", b"nonsense"]))
    return draw(st.binary(max_size=16))


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 3) -> bytes:
    tags = draw(st.lists(st.sampled_from(TAGS), max_size=12, unique=True))
    private = draw(st.booleans())
    made = []
    for tag in sorted([*tags, *([0x00091001] if private else [])]):
        vr = "LO" if tag >> 16 & 1 else vr_of(tag)[:2]
        if vr == "SQ":
            if depth:
                inner = draw(st.lists(data_sets(depth - 1), max_size=2))
                made.append(sequence(tag, *(item(each) for each in inner), undefined=draw(st.booleans())))
        elif vr == "UN" or draw(st.integers(0, 9)) == 0:
            made.append(element(tag, "UN", draw(values("LO"))))
        elif vr.encode() in LONG_VRS or len(vr) == 2:
            made.append(element(tag, vr, draw(values(vr))))
    return b"".join(made)


def instance(body: bytes) -> bytes:
    head = (
        element(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2"),
        element(0x00080018, "UI", "1.2.826.0.1.424242.1"),
        element(0x00100010, "PN", NAME + b"^" + NAME),
        element(0x00100020, "LO", NUMBER),
        element(0x0020000D, "UI", "1.2.826.0.1.424242.2"),
        element(0x0020000E, "UI", "1.2.826.0.1.424242.3"),
    )
    return meta("1.2.840.10008.1.2.1", "1.2.826.0.1.424242.1") + b"".join(head) + body


def shape(elements: dict[int, Element]) -> list[object]:
    return [
        (tag, [shape(each) for each in value.value] if isinstance(value.value, list) else None)
        for tag, value in elements.items()
    ]


# Shrinking takes minutes where an instance is refused.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(max_examples=200, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
@given(data_sets(), st.sampled_from(sorted(PROFILES)))
def test_random_data_sets(body, name):
    deidentifier = PROFILES[name]
    output, _ = deidentifier.deidentify_bytes(instance(body))
    found = header_of(InMemory(output), Limits())
    assert NAME.lower() not in output.lower()
    assert NUMBER.lower() not in output.lower()
    if name == "basic":  # the others retain UIDs of device classes
        assert b"1.2.826.0.1.424242." not in output
    again, _ = deidentifier.deidentify_bytes(output)
    second = header_of(InMemory(again), Limits())
    assert shape(found.elements) == shape(second.elements)
    assert deidentifier.deidentify_bytes(instance(body))[0] == output


@settings(max_examples=50, deadline=None, phases=PHASES)
@given(st.binary(max_size=200))
def test_a_standard_sequence_hidden_in_un_is_gone_through_or_gone(tail):
    content = implicit(0x00100010, NAME) + implicit(0x00081030, b"for " + NAME)
    whole = item(content) + tail
    body = element(0x00081115, "UN", whole)
    output, _ = PROFILES["basic"].deidentify_bytes(instance(body))
    assert NAME.lower() not in output.lower()
