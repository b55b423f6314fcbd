"""Profiles as data: the table whole, the options as the standard has them, and mistakes told where they are."""

from __future__ import annotations

import runpy
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from isocenter.deid import profile as profiles
from isocenter.deid.rules import Action, Rules, difference, explain
from isocenter.deid.table import OPTIONS, table
from isocenter.errors import BadRequest, NotFound

ROOT = Path(__file__).parents[3]


def action(tag: int, *options: str) -> Action:
    profile = profiles.Profile(name="x", title="x", options=options)
    return Rules(profile).rule(tag).action


def test_the_table_is_whole():
    assert table().edition == "2025b"
    # 647 rows of the standard; the one of private attributes is a rule of its own.
    assert len(table().rows) + len(table().repeating) == 646
    assert {row.name for _, row in table().repeating} >= {"Overlay Data", "Curve Data"}
    assert table().row(0x00080060) is None


def test_the_script_reads_the_tables_of_the_standard():
    script = runpy.run_path(str(ROOT / "scripts" / "deid-tables"))
    cells = ["Accession Number", "(0008,0050)", "N", "Y", "Z", "", "", "", "", "", "", "", "C", "", ""]
    rows = "".join(
        f"<tr>{''.join(f'<td><para>{cell}</para></td>' for cell in row)}</tr>"
        for row in (cells, ["Overlay Data", "(60xx,3000)", "N", "Y", "X", *[""] * 9, "C"], ["Private", "(gggg,eeee)"])
    )
    document = ET.fromstring(
        f'<book xmlns="http://docbook.org/ns/docbook"><table label="E.1-1"><tbody>{rows}</tbody></table></book>'
    )
    found = script["attributes"](document)
    assert [(row["tag"], row["basic"]) for row in found] == [("00080050", "Z"), ("60xx3000", "X")]
    assert found[0]["clean_descriptors"] == "C"
    assert found[1]["clean_graphics"] == "C"


@pytest.mark.parametrize("name", profiles.shipped())
def test_shipped_profiles_are_whole_and_load_again_from_what_they_show(name):
    import yaml

    profile = profiles.load(name)
    assert profile.name == name
    assert profiles.parse(yaml.safe_dump(profile.model_dump(mode="json"))) == profile


def test_there_are_the_five_profiles():
    assert profiles.shipped() == ["basic", "internal", "longitudinal", "safe-harbor", "tcia"]
    assert profiles.load("basic").options == ()


@pytest.mark.parametrize(
    ("tag", "options", "expected"),
    [
        (0x00100010, (), Action.PSEUDONYM),
        (0x00080080, (), Action.REMOVE_EMPTY_OR_DUMMY),
        (0x00080080, ("retain-institution-identity",), Action.KEEP),
        (0x0008103E, (), Action.REMOVE),
        (0x0008103E, ("clean-descriptors",), Action.CLEAN),
        (0x0020000D, (), Action.UID),
        (0x0020000D, ("retain-uids",), Action.KEEP),
        (0x00080020, (), Action.EMPTY),
        (0x00080020, ("retain-longitudinal-full-dates",), Action.KEEP),
        (0x00080020, ("retain-longitudinal-modified-dates",), Action.SHIFT),
        (0x00080030, ("retain-longitudinal-modified-dates",), Action.KEEP),
        (0x00181000, ("retain-device-identity",), Action.KEEP),
        (0x00080055, ("retain-device-identity",), Action.PSEUDONYM),
        (0x00101010, ("retain-patient-characteristics",), Action.KEEP),
        (0x0040A730, (), Action.DUMMY),
        (0x0040A730, ("clean-structured-content",), Action.CLEAN),
        (0x00700001, ("clean-graphics",), Action.GRAPHICS),
        (0x60003000, ("clean-graphics",), Action.REMOVE),
        (0x60000022, (), Action.REMOVE),
        (0x00081140, (), Action.UID),
        (0x00080060, (), Action.KEEP),
        (0x00080000, (), Action.REMOVE),
        (0x00091001, (), Action.PRIVATE),
        (0x0008FFFE, (), Action.REMOVE),  # nobody knows it
    ],
)
def test_options_do_what_the_table_says(tag, options, expected):
    assert action(tag, *options) is expected


def test_dates_that_are_kept_by_one_option_and_moved_by_another_move():
    options = ("retain-device-identity", "retain-longitudinal-modified-dates")
    assert action(0x00181200, *options) is Action.SHIFT  # Date of Last Calibration


def test_every_row_has_a_rule_under_every_option():
    for option in OPTIONS:
        rules = Rules(profiles.Profile(name="x", title="x", options=(option,)))
        for tag in table().rows:
            assert rules.rule(tag).action is not None


def test_overrides_come_before_everything_and_say_why():
    text = """
name: site
title: A site's own
overrides:
  - {attribute: PatientID, action: keep, reason: these are pseudonyms already}
  - {attribute: "(0008,1030)", action: dummy, value: CT, reason: our studies are all alike}
"""
    profile = profiles.parse(text)
    rules = Rules(profile)
    assert rules.rule(0x00100020).action is Action.KEEP
    assert rules.rule(0x00081030).value == "CT"
    told = explain(profile, "PatientID")
    assert told["because"] == "these are pseudonyms already"
    assert told["edition"] == "PS3.15 Table E.1-1, edition 2025b"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", "no YAML at line 1"),
        ("just words", "no YAML mapping"),
        ("name: x", "`title`"),
        ("name: x\ntitle: y\noptions: [retain-everything]", "there is no option"),
        ("name: x\ntitle: y\noptions: [retain-longitudinal-full-dates, retain-longitudinal-modified-dates]", "one of"),
        ("name: x\ntitle: y\noverrides: [{attribute: Nothing, action: keep, reason: abc}]", "no attribute"),
        ("name: x\ntitle: y\noverrides: [{attribute: PatientID, action: keep}]", "reason"),
        ("name: x\ntitle: y\nsurprise: 1", "surprise"),
        ("name: x\ntitle: y\ndates: {earliest_days: -10, latest_days: -1}", "30 days"),
    ],
)
def test_a_mistake_is_told_where_it_is(text, says):
    with pytest.raises(BadRequest, match=says):
        profiles.parse(text)


def test_a_profile_that_is_not_there():
    with pytest.raises(NotFound, match="basic, internal"):
        profiles.load("nothing")


def test_explain_takes_tags_and_keywords_and_refuses_others():
    assert explain(profiles.load("basic"), "(0010,0010)") == explain(profiles.load("basic"), "PatientName")
    with pytest.raises(BadRequest, match="keyword"):
        explain(profiles.load("basic"), "Patient Name")


def test_an_override_can_ask_for_the_basic_profile():
    rules = Rules(profiles.load("tcia"))
    assert rules.rule(0x00081010).action is Rules(profiles.load("basic")).rule(0x00081010).action
    assert rules.rule(0x00081010).reason
    assert rules.rule(0x00081090).action is Action.KEEP  # Manufacturer's Model Name


def test_profiles_differ_where_they_do():
    assert difference(profiles.load("basic"), profiles.load("basic")) == []
    differing = {tag for tag, _, _ in difference(profiles.load("basic"), profiles.load("tcia"))}
    assert 0x00080020 in differing
    assert 0x00100010 not in differing


def test_a_sites_own_list_of_safe_private_attributes(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("# ours\ntag,creator\n0019xx23,ACME 1.0\n")
    profile = profiles.Profile(
        name="x", title="x", options=("retain-safe-private",), private=profiles.Private(lists=(str(path),))
    )
    assert Rules(profile).safe_vr("ACME 1.0", 0x00191023) == ""
    assert Rules(profile).safe_vr("ACME 1.0", 0x00191024) is None
    path.write_text("tag,creator\nwrong,ACME\n")
    with pytest.raises(BadRequest, match="ggggxxee"):
        Rules(profile)
