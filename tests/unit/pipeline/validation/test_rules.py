"""Every rule finds what it is about, and nothing of it in an image that is as it should be."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from isocenter.pipeline.validation.profile import Profile, load, shipped
from isocenter.pipeline.validation.report import Report
from isocenter.pipeline.validation.rules import Level, Severity, rules
from isocenter.pipeline.validation.validator import Validator
from isocenter.testing.elements import (
    BIG_ENDIAN,
    EXPLICIT,
    JPEG,
    JPEG_2000,
    JPEG_LS,
    RLE,
    description,
    element,
    encapsulated,
    identity,
    item,
    meta,
    native,
    sequence,
    short,
)
from isocenter.testing.instances import (
    ct_slice,
    gif_picture,
    jpeg_picture,
    nifti_volume,
    png_picture,
    sample_files,
    us_cine,
)
from isocenter.testing.mixtures import transcoded

PAGE = Path(__file__).parents[4] / "docs" / "validation.md"
TODAY = date(2025, 1, 1)
# Every rule is told by it.
ALL = load("strict")
UID = "2.25.77"

Made = bytes | Sequence[bytes]


def of(*parts: bytes, **changes: Any) -> bytes:
    """A file of raw elements."""
    return meta(EXPLICIT, UID) + identity(UID, **changes) + b"".join(parts)


def pixels(*parts: bytes, **changes: Any) -> bytes:
    """With a description and 32 bytes of pixel data for it."""
    return of(description(**changes), *parts, native(bytes(32)))


def described(**values: int) -> bytes:
    """A description with other numbers, by keyword."""
    tags = {"samples": 2, "planar": 6, "rows": 0x10, "allocated": 0x100, "stored": 0x101, "high": 0x102, "sign": 0x103}
    base = {"samples": 1, "rows": 4, "allocated": 16, "stored": 16, "high": 15, "sign": 0} | values
    parts = {tags[name]: short(0x00280000 | tags[name], value) for name, value in base.items()}
    parts |= {4: element(0x00280004, "CS", "MONOCHROME2"), 0x11: short(0x00280011, 4)}
    return of(*(parts[tag] for tag in sorted(parts)), native(bytes(32)))


def compressed(syntax: str, *fragments: bytes, table: bytes = b"", frames: str | None = None, **changes: Any) -> bytes:
    body = description(**changes, frames=frames) + encapsulated(fragments, table=table)
    return meta(syntax, UID) + identity(UID) + body


def palette(descriptor: tuple[int, ...] = (4, 0, 16), data: bytes = bytes(8)) -> bytes:
    parts = [short(0x00281101 + n, *descriptor) for n in range(3)]
    parts += [element(0x00281201 + n, "OW", data) for n in range(3)]
    return pixels(*parts, photometric="PALETTE COLOR", bits=16)


def multi_frame(*positions: float, count: int | None = None, required: bool = True) -> bytes:
    """An enhanced CT with a frame at each position along z."""
    place = [item(sequence(0x00209113, item(element(0x00200032, "DS", f"0\\0\\{z}")))) for z in positions]
    axes = item(element(0x00200037, "DS", "1\\0\\0\\0\\1\\0"))
    shared = item(sequence(0x00209116, axes) if required else element(0x00209999, "UN", b""))
    frames = len(positions) if count is None else count
    body = description(frames=str(frames)) + sequence(0x52009229, shared) + sequence(0x52009230, *place)
    return of(body, native(bytes(32 * frames)), sop_class="1.2.840.10008.5.1.4.1.1.2.1")


def series(*positions: float, **changes: Any) -> list[bytes]:
    return [
        ct_slice(1, number + 1, size=8, ImagePositionPatient=[0, 0, z], **changes) for number, z in enumerate(positions)
    ]


def changed_volume(at: int, code: str, *values: float) -> bytes:
    data = bytearray(nifti_volume(size=4))
    data[at : at + len(pack("<" + code, *values))] = pack("<" + code, *values)
    return bytes(data)


J2K = transcoded(ct_slice(size=16), JPEG_2000)
LOSSLESS = transcoded(ct_slice(size=16), RLE)
CT = ct_slice(size=16)


def without_group_length(data: bytes) -> bytes:
    return data[:132] + data[144:]


def spot(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)


BAD: dict[str, Callable[[], Made]] = {
    "not-an-image": lambda: b"nothing of the kind" * 100,
    "unreadable": lambda: of(description(), description(rows=5), native(bytes(32))),
    "truncated": lambda: CT[:-100],
    "over-limit": lambda: of(_nested(20)),
    "file-meta-missing": lambda: CT[CT.index(b"\x08\0\x05\0CS") :],
    "preamble-missing": lambda: CT[128:],
    "preamble-used": lambda: b"MZ" + CT[2:],
    "file-meta-group-length-missing": lambda: without_group_length(CT),
    "file-meta-group-length-wrong": lambda: meta(EXPLICIT, UID, group_length=7) + identity(UID),
    "file-meta-attribute-missing": lambda: spot(of(), element(0x00020012, "UI", "2.25.1"), b""),
    "file-meta-order": lambda: meta(EXPLICIT, UID) + element(0x00020011, "UI", "2.25.1") + identity(UID),
    "media-storage-class-differs": lambda: of(sop_class="1.2.840.10008.5.1.4.1.1.7"),
    "media-storage-instance-differs": lambda: of(sop_instance="2.25.78"),
    "transfer-syntax-missing": lambda: spot(CT, b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0", b""),
    "transfer-syntax-unknown": lambda: meta("1.2.3.4", UID) + identity(UID),
    "transfer-syntax-wrong": lambda: meta("1.2.840.10008.1.2", UID) + identity(UID) + description() + native(bytes(32)),
    "transfer-syntax-retired": lambda: transcoded(CT, BIG_ENDIAN),
    "transfer-syntax-not-allowed": lambda: transcoded(CT, RLE),
    "identifier-missing": lambda: of(study=None),
    "identifier-invalid": lambda: of(study="no.uid"),
    "identifiers-same": lambda: of(study="2.25.5", series="2.25.5"),
    "uid-invalid": lambda: of(element(0x00200052, "UI", "no.uid")),
    "uid-leading-zero": lambda: of(element(0x00200052, "UI", "1.02.3")),
    "patient-id-empty": lambda: of(patient_id=""),
    "sop-class-unknown": lambda: of(sop_class="1.2.3.4"),
    "sop-class-retired": lambda: of(sop_class="1.2.840.10008.5.1.4.1.1.6"),
    "modality-mismatch": lambda: of(modality="MR"),
    "type-1-missing": lambda: ct_slice(size=8, RescaleSlope=None),
    "type-1-empty": lambda: ct_slice(size=8, ImageType=""),
    "type-2-missing": lambda: ct_slice(size=8, KVP=None),
    "type-1c-absent": lambda: ct_slice(size=8),
    "functional-group-missing": lambda: multi_frame(0, 1, 2, required=False),
    "frame-groups-count": lambda: multi_frame(0, 1, 2, count=2),
    "attribute-retired": lambda: of(element(0x00080001, "UL", bytes(4))),
    "group-length-present": lambda: of(element(0x00280000, "UL", bytes(4))),
    "attribute-order": lambda: of(element(0x00080090, "PN", "A")),
    "attribute-repeated": lambda: of(short(0x00280010, 4), short(0x00280011, 4), short(0x00280010, 4)),
    "private-creator-missing": lambda: of(element(0x00211001, "LO", "A")),
    "private-group-invalid": lambda: of(element(0x00210001, "LO", "A")),
    "trailing-padding": lambda: pixels() + element(0xFFFCFFFC, "OB", bytes(4)),
    "trailing-bytes": lambda: pixels() + b"\xff" * 40,
    "vr-invalid": lambda: of(element(0x00280004, "CS", "lower case")),
    "number-invalid": lambda: of(element(0x00180050, "DS", "thick")),
    "value-length-wrong": lambda: of(element(0x00280010, "US", b"\1\0\1", pad=False)),
    "value-too-long": lambda: of(element(0x00200010, "SH", "S" * 20)),
    "value-odd-length": lambda: of(element(0x00200010, "SH", "ABC", pad=False)),
    "value-padding": lambda: of(element(0x00200010, "SH", "ABC\0")),
    "date-form-retired": lambda: of(element(0x00081030, "LO", "A"), element(0x00100030, "DA", "1970.01.01")),
    "vm-invalid": lambda: of(element(0x00200032, "DS", "1\\2")),
    "vr-not-of-dictionary": lambda: of(element(0x00280010, "UL", bytes(4))),
    "vr-unknown": lambda: of(element(0x00200010, "UN", b"AB")),
    "item-missing": lambda: of(sequence(0x00186011), sop_class="1.2.840.10008.5.1.4.1.1.6.1"),
    "charset-unknown": lambda: of(character_set="ISO_IR 999"),
    "charset-mixed": lambda: of(character_set="ISO_IR 192\\ISO 2022 IR 87"),
    "charset-undeclared": lambda: of(patient_name="Ö".encode("latin-1")),
    "charset-undecodable": lambda: of(character_set="ISO_IR 192", patient_name="Ö".encode("latin-1")),
    "study-date-future": lambda: ct_slice(size=8, StudyDate="20990101"),
    "birth-date-after-study": lambda: ct_slice(size=8, PatientBirthDate="20241231"),
    "pixel-data-missing": lambda: of(),
    "pixel-data-empty": lambda: of(description(), native(b"")),
    "pixel-data-twice": lambda: of(description(), element(0x7FE00008, "OF", bytes(64)), native(bytes(32))),
    "pixel-attribute-missing": lambda: of(short(0x00280010, 4), native(bytes(32))),
    "pixel-attribute-invalid": lambda: described(sign=7),
    "photometric-unknown": lambda: pixels(photometric="GREYISH"),
    "photometric-retired": lambda: pixels(photometric="HSV", samples=3, bits=8),
    "photometric-transfer-syntax": lambda: pixels(photometric="YBR_RCT", samples=3, bits=8),
    "samples-mismatch": lambda: pixels(photometric="RGB"),
    "bits-allocated-unusual": lambda: described(allocated=24, stored=24, high=23),
    "bits-stored-range": lambda: described(stored=17, high=16),
    "high-bit-wrong": lambda: described(high=11),
    "planar-configuration-missing": lambda: spot(us_cine(rows=8, columns=8), b"\x28\0\x06\0US\2\0\0\0", b""),
    "palette-missing": lambda: pixels(photometric="PALETTE COLOR"),
    "palette-invalid": lambda: palette((9, 0, 16)),
    "pixel-vr-wrong": lambda: of(description(), native(bytes(32), vr="OB")),
    "number-of-frames-invalid": lambda: pixels(frames="-1"),
    "pixel-length-short": lambda: of(description(), native(bytes(30))),
    "pixel-length-long": lambda: of(description(), native(bytes(40))),
    "pixel-encapsulation-wrong": lambda: meta(RLE, UID) + identity(UID) + description() + native(bytes(32)),
    "fragments-too-few": lambda: compressed(JPEG_2000, b"\xff\x4f\xff\x51", frames="3"),
    "fragments-cannot-be-told": lambda: compressed(JPEG_2000, b"\xff\x4f\xff\x51", bytes(8), bytes(8), frames="2"),
    "fragment-odd-length": lambda: compressed(JPEG_2000)[:-8] + item(b"\xff\x4f\xff") + compressed(JPEG_2000)[-8:],
    "offset-table-wrong": lambda: compressed(JPEG_2000, bytes(8), table=pack("<L", 4)),
    "sequence-delimiter-missing": lambda: J2K[:-8],
    "codestream-unreadable": lambda: compressed(JPEG_2000, bytes(64)),
    "codestream-other": lambda: compressed(JPEG_LS, jpeg_picture(), bits=8),
    "codestream-size": lambda: compressed(JPEG, jpeg_picture(), bits=8, samples=3, photometric="RGB"),
    "codestream-too-deep": lambda: spot(J2K, b"\x28\0\x00\x01US\2\0\x10\0", b"\x28\0\x00\x01US\2\0\x08\0"),
    "codestream-depth": lambda: J2K,  # of 16 bits, of which 12 are stored
    "codestream-sign": lambda: spot(J2K, b"\x28\0\x03\x01US\2\0\0\0", b"\x28\0\x03\x01US\2\0\1\0"),
    "codestream-samples": lambda: compressed(RLE, pack("<16L", 9, 64, *[0] * 14) + bytes(8)),
    "lossy-not-stated": lambda: compressed(JPEG, jpeg_picture(), bits=8, samples=3, photometric="RGB"),
    "window-width-missing": lambda: ct_slice(size=8, WindowWidth=None),
    "window-width-invalid": lambda: ct_slice(size=8, WindowWidth=0.5),
    "rescale-incomplete": lambda: ct_slice(size=8, RescaleSlope=None),
    "rescale-slope-zero": lambda: ct_slice(size=8, RescaleSlope=0),
    "orientation-invalid": lambda: ct_slice(size=8, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]),
    "position-invalid": lambda: ct_slice(size=8, ImagePositionPatient=[1, 2]),
    "pixel-spacing-invalid": lambda: ct_slice(size=8, PixelSpacing=[0, 1]),
    "slice-thickness-invalid": lambda: ct_slice(size=8, SliceThickness=-1),
    "slice-missing": lambda: series(0, 5, 10, 20, 25),
    "slice-double": lambda: series(0, 5, 10, 10, 15),
    "slice-spacing-irregular": lambda: series(0, 5, 10, 17, 22),
    "slices-shifted": lambda: [
        ct_slice(1, n + 1, size=8, ImagePositionPatient=[0, 3 * n, 5 * n]) for n in range(4)
    ],
    "slice-gap": lambda: series(0, 9, 18),
    "slice-spacing-differs": lambda: series(0, 5, 10, SpacingBetweenSlices=7),
    "orientation-mixed": lambda: [
        *series(0, 5, 10), ct_slice(1, 9, size=8, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    ],
    "matrix-mixed": lambda: [*series(0, 5, 10), ct_slice(1, 4, size=16, ImagePositionPatient=[0, 0, 15])],
    "sop-instance-repeated": lambda: [CT, CT],
    "sop-instance-conflict": lambda: [CT, ct_slice(size=16, StudyDescription="Other")],
    "study-patient-differs": lambda: [ct_slice(1, 1, size=8), ct_slice(1, 2, size=8, PatientID="OTHER")],
    "series-study-differs": lambda: [ct_slice(1, 1, size=8), ct_slice(1, 2, size=8, StudyInstanceUID="2.25.9")],
    "series-modality-differs": lambda: [ct_slice(1, 1, size=8), ct_slice(1, 2, size=8, Modality="MR")],
    "series-frame-of-reference-differs": lambda: [
        ct_slice(1, 1, size=8), ct_slice(1, 2, size=8, FrameOfReferenceUID="2.25.9")
    ],
    "patient-differs": lambda: [ct_slice(1, 1, size=8), ct_slice(1, 2, size=8, PatientBirthDate="19710101")],
    "instance-number-repeated": lambda: [ct_slice(1, 1, size=8), ct_slice(1, 2, size=8, InstanceNumber=1)],
    "nifti-header-invalid": lambda: changed_volume(40, "h", 9),
    "nifti-too-short": lambda: nifti_volume(size=4)[:-10],
    "nifti-too-long": lambda: nifti_volume(size=4) + bytes(10),
    "nifti-no-orientation": lambda: changed_volume(252, "2h", 0, 0),
    "nifti-affine-invalid": lambda: changed_volume(280, "12f", *[0.0] * 12),
    "nifti-orientations-differ": lambda: changed_volume(252, "2h", 1, 1)[:280]
    + pack("<12f", 50, 0, 0, 0, 0, 10, 0, 0, 0, 0, 5, 0)
    + nifti_volume(size=4)[328:],
    "nifti-spacing-invalid": lambda: changed_volume(80, "f", -2.0),
    "picture-unreadable": lambda: png_picture()[:20],
    "picture-truncated": lambda: jpeg_picture()[:-200],
}  # fmt: skip

GOOD: list[Callable[[], Made]] = [
    lambda: CT,
    lambda: transcoded(ct_slice(size=16, BitsStored=16, HighBit=15), JPEG_2000),
    lambda: LOSSLESS,
    lambda: us_cine(rows=16, columns=16),
    lambda: nifti_volume(size=4),
    lambda: gzip.compress(nifti_volume(size=4)),
    png_picture,
    jpeg_picture,
    gif_picture,
    lambda: series(0, 5, 10, 15, 20),
    lambda: series(0, 5.01, 9.99, 15.0, 20),
    lambda: [data for _, data in sample_files()],
]


def _nested(depth: int) -> bytes:
    inner = element(0x00080100, "SH", "A")
    for _ in range(depth):
        inner = sequence(0x0040A730, item(inner))
    return inner


def check(made: Made, profile: Profile = ALL) -> list[Report]:
    validator = Validator(profile, today=TODAY)
    files = [made] if isinstance(made, bytes) else list(made)
    done = [validator.object(lambda at, size, data=data: data[at : at + size], len(data)) for data in files]  # type: ignore[misc]  # the lambda's default binds the loop's value
    groups = validator.batch([one.entry for one in done if one.entry is not None])
    return [*(one.report for one in done), *(group.report for group in groups)]


def found_in(reports: Sequence[Report]) -> set[str]:
    return {finding.rule for report in reports for finding in report.findings}


def test_every_rule_has_a_case() -> None:
    assert BAD.keys() == rules().keys()


@pytest.mark.parametrize("rule", sorted(BAD))
def test_a_rule_finds_what_it_is_about(rule: str) -> None:
    profile = Profile.model_validate(ALL.model_dump() | {"transfer_syntaxes": (EXPLICIT,)})
    reports = check(BAD[rule](), profile if rule == "transfer-syntax-not-allowed" else ALL)
    assert rule in found_in(reports)
    told = next(finding for report in reports for finding in report.findings if finding.rule == rule)
    assert told.level == rules()[rule].level
    assert told.says
    assert told.do


@pytest.mark.parametrize("number", range(len(GOOD)))
def test_good_images_are_valid_even_where_warnings_fail(number: int) -> None:
    reports = check(GOOD[number]())
    told = found_in(reports) - {"type-1c-absent", "slice-gap"}
    assert told == set()
    assert all(report.valid for report in reports)


def test_what_breaks_is_an_error_in_every_profile_and_the_rest_never_fails_the_lenient_one() -> None:
    for rule in rules().values():
        lenient = load("lenient").severity_of(rule.id)
        assert (lenient is Severity.ERROR) == rule.breaks
        if rule.breaks:
            assert rule.severity is Severity.ERROR


def test_rules_are_named_and_worded_alike() -> None:
    for rule in rules().values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.id)
        assert rule.level in Level
        for sentence in (rule.says, rule.do):
            assert not sentence.endswith(".")
            assert "{" not in sentence


def test_the_page_lists_every_rule_with_its_severity_by_profile() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (\S+) \| (\S+) \| (\S+) \| (.+) \| (.+) \|$", page, re.M)
    assert rows == [row(rule) for rule in rules()]


def row(rule: str) -> tuple[str, ...]:
    severities = [str(load(name).severity_of(rule) or "-") for name in shipped()]
    return (rule, *severities, rules()[rule].says, rules()[rule].do)
