"""Missing attributes are those that dciodvfy misses too, and no others."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from isocenter.pipeline.validation.required import plan_of
from isocenter.pipeline.validation.validator import Validator
from isocenter.testing.elements import EXPLICIT, element, identity, item, meta, sequence
from isocenter.testing.instances import CT_STORAGE, cr_image, ct_slice, us_cine

_MISSING = re.compile(r"Missing attribute Type [12] Required Element=<(\w+)>")
_NAMED = re.compile(r"Element=<(\w+)>")
# Rules by which an attribute that is missing is told; identifiers and pixels have rules of their own.
_RULES = {
    "type-1-missing", "type-2-missing", "type-1-empty", "item-missing", "identifier-missing",
    "pixel-attribute-missing", "pixel-data-missing", "functional-group-missing",
}  # fmt: skip
_SR = "1.2.840.10008.5.1.4.1.1.88.33"


def told(data: bytes) -> dict[str, str]:
    """The keyword of what is missing, and the rule by which it is told."""
    report = Validator("standard").object(lambda at, size: data[at : at + size], len(data)).report
    return {f.path.rsplit(".", 1)[-1]: f.rule for f in report.findings if f.rule in _RULES}


def without_some(data: bytes, seed: int) -> bytes:
    """The instance with a few attributes left out or emptied, of the top level and of items."""
    chance = random.Random(seed)
    data_set = dcmread(BytesIO(data))
    _strip(data_set, chance, top=True)
    file = BytesIO()
    dcmwrite(file, data_set)
    return file.getvalue()


def _strip(data_set: Dataset, chance: random.Random, *, top: bool) -> None:
    # Without SOP Class there is no IOD to hold it against, and pixels have rules of their own.
    tags = [tag for tag in data_set.keys() if tag not in (0x00080016, 0x00080018, 0x7FE00010)]  # noqa: SIM118  a Dataset iterates over elements
    for tag in chance.sample(tags, min(len(tags), chance.randint(1, 8))):
        if data_set[tag].VR == "SQ" and chance.random() < 0.8:
            for each in data_set[tag].value:
                _strip(each, chance, top=False)
        elif chance.random() < 0.3:
            data_set[tag].value = None
        else:
            del data_set[tag]


def built() -> Iterator[bytes]:
    for seed in range(20):
        for make in (ct_slice, cr_image, us_cine):
            size = {"size": 16} if make is ct_slice else {"rows": 16, "columns": 16}
            yield without_some(make(seed, **size), seed)
    for name in ("MR_small.dcm", "rtplan.dcm", "CT_small.dcm"):
        source = Path(str(get_testdata_file(name))).read_bytes()
        for seed in range(8):
            yield without_some(source, seed)


def test_it_says_what_dciodvfy_says(tmp_path: Path) -> None:
    assert shutil.which("dciodvfy"), "install the Debian package dicom3tools"
    path, theirs, caught, false = tmp_path / "one.dcm", 0, 0, []
    for data in built():
        path.write_bytes(data)
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False, timeout=60)
        text = said.stderr.decode("latin-1")
        ours, named = told(data), set(_NAMED.findall(text))
        missing = set(_MISSING.findall(text))
        theirs += len(missing)
        caught += len(missing & ours.keys())
        false += [keyword for keyword, rule in ours.items() if rule.endswith("-missing") and keyword not in named]
    assert theirs > 100
    assert caught >= 0.95 * theirs
    assert false == []


def sr(*items: bytes) -> dict[str, str]:
    concept = sequence(0x0040A043, item(_code()))
    root = (element(0x0040A040, "CS", "CONTAINER"), concept, element(0x0040A050, "CS", "SEPARATE"))
    body = b"".join((*root, sequence(0x0040A730, *items)))
    return told(meta(EXPLICIT, "2.25.7") + identity("2.25.7", sop_class=_SR, modality="SR") + body)


def _code() -> bytes:
    return element(0x00080100, "SH", "1") + element(0x00080102, "SH", "X") + element(0x00080104, "LO", "A")


@pytest.mark.parametrize(
    ("value_type", "keyword"),
    [
        ("CODE", "ConceptCodeSequence"),
        ("NUM", "MeasuredValueSequence"),
        ("IMAGE", "ReferencedSOPSequence"),
        ("TEXT", "TextValue"),
    ],
)
def test_a_content_item_needs_what_its_value_type_has_and_nothing_else(value_type: str, keyword: str) -> None:
    content = element(0x0040A010, "CS", "CONTAINS") + element(0x0040A040, "CS", value_type)
    assert set(sr(item(content))) - set(sr()) == {keyword}


def test_a_content_item_by_reference_needs_a_relationship_only() -> None:
    assert set(sr(item(element(0x0040DB73, "UL", bytes(4))))) - set(sr()) == {"RelationshipType"}


def test_a_class_that_is_not_known_has_no_plan() -> None:
    assert plan_of("1.2.3.4") is None
    assert plan_of(CT_STORAGE) is not None


def test_an_optional_module_counts_once_it_is_there() -> None:
    assert "DeviceSequence" not in told(ct_slice(size=8))
    overlay = told(_with_overlay())
    assert set(overlay.values()) == {"type-1-missing"}
    assert len(overlay) == 6


def _with_overlay() -> bytes:
    data_set = dcmread(BytesIO(ct_slice(size=8)))
    data_set.add_new(0x60020010, "US", 8)
    file = BytesIO()
    dcmwrite(file, data_set)
    return file.getvalue()
