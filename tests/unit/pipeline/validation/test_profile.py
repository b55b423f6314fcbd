"""A profile is checked before anything relies on it, and says what it does on top of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from isocenter.errors import BadRequest, NotFound
from isocenter.pipeline.validation.profile import Profile, load, parse, shipped
from isocenter.pipeline.validation.report import Report
from isocenter.pipeline.validation.rules import Severity
from isocenter.pipeline.validation.validator import Validator
from isocenter.testing.elements import element, instance, item, sequence
from isocenter.testing.instances import CT_STORAGE, ct_slice

SITE = """
name: our-site
title: What our modalities send
base: standard
overrides:
  - {rule: type-2-missing, severity: warning, reason: an old scanner}
ignore:
  - {rule: vr-invalid, keyword: RequestAttributesSequence.RequestedProcedureID, reason: the RIS}
"""


def examined(data: bytes, profile: Profile) -> Report:
    return Validator(profile).object(lambda at, size: data[at : at + size], len(data)).report


def test_what_a_profile_leaves_out_is_as_in_its_base() -> None:
    site, strict = parse(SITE), parse(SITE.replace("standard", "strict"))
    assert (site.fail_on, site.least) == (Severity.ERROR, Severity.WARNING)
    assert (strict.fail_on, strict.least) == (Severity.WARNING, Severity.INFO)
    assert site.severity_of("type-2-missing") is Severity.WARNING
    assert load("standard").severity_of("type-2-missing") is Severity.ERROR


def test_an_override_makes_an_image_valid() -> None:
    data = ct_slice(size=8, KVP=None)
    assert not examined(data, load("standard")).valid
    assert examined(data, parse(SITE)).valid


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{rule: number-invalid, reason: why}", set()),
        ("{keyword: SliceThickness, reason: why}", {"RequestAttributesSequence[0].NumberOfFrames"}),
        ("{rule: number-invalid, keyword: NumberOfFrames, reason: why}", {"SliceThickness"}),
        ("{rule: number-invalid, keyword: RequestAttributesSequence.NumberOfFrames, reason: why}", {"SliceThickness"}),
        (f"{{rule: number-invalid, sop_class: {CT_STORAGE}, reason: why}}", set()),
        ("{sop_class: 1.2.3, reason: why}", {"SliceThickness", "RequestAttributesSequence[0].NumberOfFrames"}),
    ],
)
def test_findings_are_ignored_by_all_that_is_named(entry: str, told: set[str]) -> None:
    profile = parse(f"name: one\ntitle: One\nbase: standard\nignore: [{entry}]")
    body = (element(0x00180050, "DS", "x"), sequence(0x00400275, item(element(0x00280008, "IS", "x"))))
    report = examined(instance("2.25.1", *body), profile)
    assert {finding.path for finding in report.findings if finding.rule == "number-invalid"} == told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "no YAML at line"),
        ("just words", "no YAML mapping"),
        ("name: one", "`title`"),
        ("name: one\ntitle: One\nbase: other", "`base`"),
        ("name: one\ntitle: One\nmore: 1", "`more`"),
        ("name: one\ntitle: One\noverrides: [{rule: none, severity: error, reason: why}]", "no such rule"),
        ("name: one\ntitle: One\noverrides: [{rule: truncated, severity: error}]", "reason"),
        ("name: one\ntitle: One\nignore: [{reason: why}]", "name a rule"),
        ("name: one\ntitle: One\nignore: [{keyword: Nonsense, reason: why}]", "no keyword"),
        ("name: Not A Slug\ntitle: One", "`name`"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_where_it_is(text: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        parse(text)


def test_a_profile_is_found_by_name_or_path(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    assert load(path).name == "our-site"
    assert [load(name).name for name in shipped()] == list(shipped())
    with pytest.raises(NotFound, match="lenient, standard, strict"):
        load("nonesuch")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadRequest, match="text"):
        load(path)
