"""One instance through de-identification: nothing left, IOD kept, references whole, and refused when in doubt."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections import Counter
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_files
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, JPEGBaseline8Bit
from tests.unit.deid.canaries import BIG, DEFLATED, EXPLICIT, IMPLICIT, Canaries, left_in, written

from isocenter.adapters.memory.sandbox import InProcessSandbox
from isocenter.deid import profile as profiles
from isocenter.deid.engine import Deidentifier
from isocenter.deid.identifiers import Gathered
from isocenter.deid.pixel_policy import Mask, Pixels
from isocenter.deid.pixels import PixelCleaner
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.deid.table import table
from isocenter.dicom.dictionary import keyword_of, vr_of
from isocenter.dicom.recode import element_bytes
from isocenter.errors import Rejected
from isocenter.testing.instances import cr_image, ct_slice, us_cine


def read(data: bytes) -> Dataset:
    return dcmread(BytesIO(data))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, DEFLATED, BIG])
def test_nothing_of_the_table_is_left_at_the_top(deidentifier, syntax):
    canaries = Canaries()
    output, evidence = deidentifier().deidentify_bytes(written(canaries.fill(canaries.instance(syntax))))
    assert len(canaries.values) > 500
    assert left_in(canaries.values, output) == []
    assert evidence.looked_for > 100


@pytest.mark.parametrize("depth", [1, 2, 6])
def test_nothing_of_the_table_is_left_in_nested_items(deidentifier, depth):
    canaries = Canaries(1)
    instance = canaries.instance()
    item = canaries.fill(Dataset())
    for _ in range(depth - 1):
        outer = Dataset()
        outer.PlaneOrientationSequence = Sequence([item])
        item = outer
    instance.PerFrameFunctionalGroupsSequence = Sequence([Dataset(), item])
    output, _ = deidentifier().deidentify_bytes(written(instance))
    assert left_in(canaries.values, output) == []


def test_nothing_is_left_where_a_gateway_wrote_vr_un(deidentifier):
    instance = Canaries(2).instance()
    del instance.PixelData
    data = written(instance)
    values = []
    for tag in sorted(table().rows):
        if tag >> 16 >= 8 and tag not in instance and vr_of(tag) != "SQ":
            values.append(f"UN{tag:08X}QX".encode())
            data += element_bytes(tag, "UN", values[-1])
    assert left_in(values, data) == values
    output, _ = deidentifier("basic").deidentify_bytes(data)
    assert left_in(values, output) == []


def test_nothing_is_left_in_a_bare_data_set_without_preamble_and_meta(deidentifier):
    canaries = Canaries(3)
    whole = written(canaries.fill(canaries.instance(IMPLICIT)))
    bare = whole[144 + int.from_bytes(whole[140:144], "little") :]
    output, _ = deidentifier().deidentify_bytes(bare)
    assert left_in(canaries.values, output) == []
    assert read(output).file_meta.MediaStorageSOPInstanceUID == read(output).SOPInstanceUID


def test_private_attributes_go_with_and_without_creator_nested_too(deidentifier):
    canaries = Canaries(4)
    instance = canaries.instance()
    block = instance.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(1, "LO", "PRIVATEAAA1")
    block.add_new(2, "SQ", Sequence([canaries.fill(Dataset())]))
    instance.add_new(0x00331001, "LO", "PRIVATEBBB2")
    item = Dataset()
    item.private_block(0x0011, "ACME", create=True).add_new(1, "PN", "PRIVATECCC3^X")
    instance.PlaneOrientationSequence = Sequence([item])
    output, _ = deidentifier().deidentify_bytes(written(instance))
    assert left_in([*canaries.values, b"PRIVATEAAA1", b"PRIVATEBBB2", b"PRIVATECCC3", b"CSA HEADER"], output) == []


def test_safe_private_attributes_stay_where_the_option_asks(deidentifier):
    instance = Canaries(5).instance()
    block = instance.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.000578")
    block.add_new(0x77, "LO", "NOBODYKNOWS")
    output = read(deidentifier("tcia").deidentify_bytes(written(instance))[0])
    assert output[0x70531000].value == pytest.approx(0.000578)
    assert output[0x70530010].value == "Philips PET Private Group"
    assert 0x70531077 not in output
    assert 0x70530010 not in read(deidentifier("basic").deidentify_bytes(written(instance))[0])


@pytest.mark.parametrize(
    ("vr", "value", "stays"),
    [
        ("DS", "1.5", True),
        ("UN", b"1.5 ", True),
        ("UN", b"DOE JANE", False),
        ("LO", "DOE JANE", False),
        ("OB", b"x" * 8, False),
    ],
)
def test_a_listed_private_attribute_stays_only_in_its_listed_form(deidentifier, vr, value, stays):
    instance = Canaries(5).instance()
    instance.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, vr, value)
    output = read(deidentifier("tcia").deidentify_bytes(written(instance))[0])
    assert (0x70531000 in output) is stays


def test_preamble_file_meta_padding_and_what_follows_the_data_set_go(deidentifier):
    instance = Canaries(6).instance()
    meta: Any = instance.file_meta
    meta.SourceApplicationEntityTitle, meta.PrivateInformationCreatorUID = "METAAETITLE", "1.2.3.4"
    meta.PrivateInformation = b"METAPRIVATE1"
    instance.add_new(0xFFFCFFFC, "OB", b"PADDINGCANARY!")
    data = b"PREAMBLECANARY" + written(instance)[14:] + b"GARBAGECANARY at the end"
    output, _ = deidentifier().deidentify_bytes(data)
    assert (
        left_in([b"METAAETITLE", b"METAPRIVATE1", b"PADDINGCANARY", b"PREAMBLECANARY", b"GARBAGECANARY"], output) == []
    )
    assert output[:128] == bytes(128)


@pytest.mark.parametrize(
    "name", ["ExplVR_BigEnd.dcm", "rtdose_expb.dcm", "image_dfl.dcm", "MR_small_RLE.dcm", "J2K_pixelrep_mismatch.dcm"]
)
def test_pixels_stay_as_they_are_whatever_the_encoding(deidentifier, name):
    path = next(path for path in get_testdata_files(name))
    output, _ = deidentifier().deidentify_bytes(Path(path).read_bytes())
    assert (read(output).pixel_array == dcmread(path).pixel_array).all()


def test_comments_and_application_segments_of_jpeg_go_and_the_picture_stays(deidentifier):
    path = next(path for path in get_testdata_files("SC_rgb_jpeg_dcmtk.dcm"))
    instance = dcmread(path)
    frame = instance.PixelData[instance.PixelData.index(b"\xff\xd8") :]
    frame = frame[: frame.rindex(b"\xff\xd9") + 2]
    marked = frame[:2] + b"\xff\xfe\x00\x12JPEGCOMCANARY1!!" + b"\xff\xe1\x00\x10Exif\0\0EXIFCAN!" + frame[2:]
    instance.PixelData = encapsulate([marked + b"\0" * (len(marked) % 2)])
    instance["PixelData"].is_undefined_length = True
    assert instance.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    output, evidence = deidentifier().deidentify_bytes(written_as_is(instance))
    assert left_in([b"JPEGCOMCANARY1", b"EXIFCAN!"], output) == []
    assert evidence.codestreams_cleaned == 1
    assert (read(output).pixel_array == dcmread(path).pixel_array).all()


def written_as_is(instance: Dataset) -> bytes:
    buffer = BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_an_identifier_that_unlisted_attributes_repeat_is_taken_out_of_them(deidentifier):
    data = ct_slice(
        PatientName="QUARLES^ALMA", PatientID="MRN-4711-X", Manufacturer="ACME for Quarles", SequenceName="MRN-4711-X",
        ScanOptions=["HELIX", "QUARLES"], ImageType=["ORIGINAL", "PRIMARY", "QUARLES"],
    )  # fmt: skip
    output, evidence = deidentifier().deidentify_bytes(data)
    assert left_in([b"QUARLES", b"4711"], output) == []
    assert {keyword_of(tag) for tag, _ in evidence.echoes} >= {"Manufacturer", "ScanOptions", "ImageType"}
    assert read(output).Manufacturer == "ACME for"
    assert read(output).ImageType == ["ORIGINAL", "PRIMARY", "REMOVED"]


@pytest.mark.parametrize(
    ("charset", "name", "raw"),
    [
        ("ISO_IR 192", "Björkqvist^Åsa", "Björkqvist".encode()),
        ("ISO_IR 100", "Björkqvist^Åsa", "Björkqvist".encode("latin-1")),
        ("GB18030", "Wang^XiaoDong=王^小东", "小东".encode("gb18030")),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "山田".encode("iso2022_jp")[3:-3]),
        ("ISO_IR 144", "Жуков^Иван", "Жуков".encode("iso8859-5")),
    ],
)
def test_names_in_every_script_are_found_again(deidentifier, charset, name, raw):
    instance = read(ct_slice())
    instance.SpecificCharacterSet, instance.PatientName = charset, name
    instance.AcquisitionDeviceProcessingCode = ""
    instance.add_new(0x00081090, "LO", name.split("=")[-1].split("^")[0])  # Manufacturer's Model Name
    assert raw in written_as_is(instance)
    output, _ = deidentifier().deidentify_bytes(written_as_is(instance))
    assert raw not in output


def test_what_a_study_knows_is_looked_for_in_all_of_it(deidentifier):
    found = Gathered()
    found.name("Oglethorpe^Beatrix")
    output, evidence = deidentifier().deidentify_bytes(ct_slice(Manufacturer="Oglethorpe Inc"), found.known())
    assert left_in([b"oglethorpe"], output) == []
    assert evidence.echoes


def test_uids_map_alike_everywhere_and_well_known_ones_stay(deidentifier):
    one, other = read(ct_slice(number=1)), read(ct_slice(number=2))
    other.ReferencedImageSequence = Sequence([Dataset()])
    other.ReferencedImageSequence[0].ReferencedSOPClassUID = one.SOPClassUID
    other.ReferencedImageSequence[0].ReferencedSOPInstanceUID = one.SOPInstanceUID
    first, second = (read(deidentifier().deidentify_bytes(written_as_is(each))[0]) for each in (one, other))
    assert second.ReferencedImageSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert second.StudyInstanceUID == first.StudyInstanceUID != one.StudyInstanceUID
    assert second.FrameOfReferenceUID == first.FrameOfReferenceUID
    assert first.SOPClassUID == one.SOPClassUID
    assert first.SOPInstanceUID.startswith("2.25.")
    assert UID(first.SOPInstanceUID).is_valid


def test_the_same_key_gives_the_same_bytes_and_another_no_value_in_common(deidentifier):
    data = ct_slice(AccessionNumber="A-1001", StudyID="77123")
    one, again = (deidentifier("tcia").deidentify_bytes(data)[0] for _ in range(2))
    assert one == again
    first, other = read(one), read(deidentifier("tcia", secret=b"x" * 32).deidentify_bytes(data)[0])
    for keyword in ("PatientID", "PatientName", "AccessionNumber", "StudyID", "StudyInstanceUID", "SOPInstanceUID",
                    "SeriesInstanceUID", "FrameOfReferenceUID", "StudyDate"):  # fmt: skip
        assert first[keyword].value != other[keyword].value, keyword


def test_dates_move_together_and_times_stay(deidentifier):
    data = ct_slice(StudyDate="20200110", SeriesDate="20200111", AcquisitionDateTime="20200111093015.25")
    output = read(deidentifier("tcia").deidentify_bytes(data)[0])
    study, series = (date.fromisoformat(day) for day in (output.StudyDate, output.SeriesDate))
    assert (series - study).days == 1
    assert 366 <= (date(2020, 1, 10) - study).days <= 3652
    assert output.AcquisitionDateTime == output.SeriesDate + "093015.25"
    assert output.StudyTime == read(data).StudyTime
    assert output.LongitudinalTemporalInformationModified == "MODIFIED"


def test_it_says_what_was_done_to_it(deidentifier):
    output = read(deidentifier("tcia").deidentify_bytes(ct_slice())[0])
    assert output.PatientIdentityRemoved == "YES"
    assert any("2025b" in method for method in output.DeidentificationMethod)
    codes = {item.CodeValue for item in output.DeidentificationMethodCodeSequence}
    assert codes == {"113100", "113103", "113104", "113105", "113107", "113108", "113109", "113111"}
    assert "113101" not in codes  # nobody looked at the pixels
    assert read(deidentifier().deidentify_bytes(ct_slice())[0]).LongitudinalTemporalInformationModified == "REMOVED"


def test_ages_over_89_become_90_where_the_profile_asks(deidentifier):
    assert read(deidentifier("tcia").deidentify_bytes(ct_slice(PatientAge="093Y"))[0]).PatientAge == "090Y"
    assert read(deidentifier("tcia").deidentify_bytes(ct_slice(PatientAge="089Y"))[0]).PatientAge == "089Y"
    assert "PatientAge" not in read(deidentifier("basic").deidentify_bytes(ct_slice(PatientAge="050Y"))[0])


def test_descriptions_keep_their_medical_words(deidentifier):
    data = ct_slice(
        PatientName="KAUFMAN^SCOTT", StudyDescription="CT CHEST W/CONTRAST for Scott Kaufman",
        SeriesDescription="Thorax 1.25 B30f axial", ImageComments="called Dr. Miller at 555-010-1234",
    )  # fmt: skip
    output = read(deidentifier("tcia").deidentify_bytes(data)[0])
    assert output.StudyDescription == "CT CHEST W/CONTRAST for"
    assert output.SeriesDescription == "Thorax 1.25 B30f axial"
    assert left_in([b"kaufman", b"miller", b"010-1234"], written_as_is(output)) == []


def test_structured_reports_lose_people_and_words_and_keep_their_codes(deidentifier):
    report = report_instance()
    output = deidentifier().deidentify_bytes(written_as_is(report))[0]
    assert left_in([b"SRTEXTONE", b"SRPERSON", b"1.2.826.77.1", b"18990102", b"DEEPTEXT"], output) == []
    content = read(output).ContentSequence
    assert [item.ValueType for item in content] == [item.ValueType for item in report.ContentSequence]
    assert content[0].ConceptNameCodeSequence[0].CodeMeaning == "Finding"


def report_instance() -> Dataset:
    instance = Canaries(9).instance()
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
                    "SamplesPerPixel", "PhotometricInterpretation", "PixelData", "ImageType"):  # fmt: skip
        delattr(instance, keyword)
    instance.SOPClassUID, instance.Modality, instance.ValueType = "1.2.840.10008.5.1.4.1.1.88.33", "SR", "CONTAINER"

    def node(kind: str, **values: object) -> Dataset:
        item, code = Dataset(), Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "121071", "DCM", "Finding"
        item.RelationshipType, item.ValueType, item.ConceptNameCodeSequence = "CONTAINS", kind, Sequence([code])
        for keyword, value in values.items():
            setattr(item, keyword, value)
        return item

    instance.ContentSequence = Sequence(
        [
            node("TEXT", TextValue="seen SRTEXTONE today"),
            node("PNAME", PersonName="SRPERSON^A"),
            node("UIDREF", UID="1.2.826.77.1"),
            node("DATETIME", DateTime="18990102030405"),
            node("CONTAINER", ContentSequence=Sequence([node("TEXT", TextValue="DEEPTEXT")])),
        ]
    )
    return instance


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"SOPClassUID": "1.2.3.4.5"}, "unknown-sop-class"),
        ({"SOPClassUID": "1.2.840.10008.1.3.10"}, "file-set-directory"),
        ({"BurnedInAnnotation": "YES"}, "burned-in-annotation"),
    ],
)
def test_in_doubt_it_is_refused_with_a_code(deidentifier, change, code):
    with pytest.raises(Rejected) as caught:
        deidentifier().deidentify_bytes(ct_slice(**change))
    assert caught.value.code == code


def test_a_profile_can_take_a_class_that_nobody_knows(deidentifier):
    output, _ = deidentifier("basic", sop_classes=["1.2.3.4.5"]).deidentify_bytes(ct_slice(SOPClassUID="1.2.3.4.5"))
    assert read(output).PatientName != read(ct_slice()).PatientName


def test_documents_are_refused_or_replaced(deidentifier):
    instance = Canaries(10).instance()
    instance.EncapsulatedDocument = b"%PDF-1.4 /Author (PDFCANARY1) %%EOF "
    instance.MIMETypeOfEncapsulatedDocument = "application/pdf"
    output, _ = deidentifier().deidentify_bytes(written(instance))
    assert b"PDFCANARY1" not in output
    assert read(output).EncapsulatedDocument.startswith(b"%PDF-")
    with pytest.raises(Rejected) as caught:
        deidentifier("tcia").deidentify_bytes(written(instance))
    assert caught.value.code == "encapsulated-document"


def test_overlays_curves_and_icons_go_whole(deidentifier):
    instance = Canaries(11).instance()
    for group in (0x6000, 0x6010):
        instance.add_new(group << 16 | 0x0010, "US", 4)
        instance.add_new(group << 16 | 0x0022, "LO", "OVERLAYWORDS")
        instance.add_new(group << 16 | 0x3000, "OW", b"OVERLAYBITS1")
    instance.add_new(0x50003000, "OW", b"CURVEBITS1")
    instance.IconImageSequence = Sequence([Dataset()])
    instance.IconImageSequence[0].add_new(0x7FE00010, "OW", b"ICONBITS11")
    for profile in ("basic", "tcia"):
        output, _ = deidentifier(profile).deidentify_bytes(written(instance))
        assert left_in([b"OVERLAYWORDS", b"OVERLAYBITS1", b"CURVEBITS1", b"ICONBITS11"], output) == []
        assert not [element for element in read(output) if element.tag.group >> 8 in (0x60, 0x50)]


@pytest.mark.parametrize("profile", ["basic", "tcia", "safe-harbor", "longitudinal", "internal"])
@pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dicom3tools is not installed (`make test` does where it is root)"
)
def test_no_new_errors_of_the_iod(deidentifier, tmp_path, profile):
    for name, data in (("ct", ct_slice()), ("cr", cr_image()), ("us", us_cine())):
        output, _ = deidentifier(profile).deidentify_bytes(data)
        (tmp_path / f"{name}-in.dcm").write_bytes(data)
        (tmp_path / f"{name}-out.dcm").write_bytes(output)
        assert errors(tmp_path / f"{name}-out.dcm") - errors(tmp_path / f"{name}-in.dcm") == Counter()


def errors(path: Path) -> Counter[str]:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    return Counter(line for line in done.stderr.splitlines() if line.startswith("Error"))


def test_overlays_in_unused_bits_of_pixels_are_cleared(deidentifier):
    instance = read(ct_slice(size=64))
    stored = instance.pixel_array.astype("<u2")
    instance.PixelData = (stored | 0xA000).tobytes()
    instance.add_new(0x60000010, "US", 64)
    instance.add_new(0x60000011, "US", 64)
    instance.add_new(0x60000100, "US", 16)
    instance.add_new(0x60000102, "US", 15)
    output = read(deidentifier().deidentify_bytes(written_as_is(instance))[0])
    assert output.PixelData == stored.tobytes()


def test_a_second_run_changes_values_and_not_structure(deidentifier):
    canaries = Canaries(12)
    once = deidentifier().deidentify_bytes(written(canaries.fill(canaries.instance())))[0]
    twice = deidentifier().deidentify_bytes(once)[0]
    assert paths(read(once)) == paths(read(twice))


def paths(data_set: Dataset, above: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    found = []
    for element in data_set:
        found.append((*above, int(element.tag)))
        if element.VR == "SQ":
            for item in element.value:
                found += paths(item, (*above, int(element.tag)))
    return found


def test_evidence_says_what_was_done_and_no_value(deidentifier):
    data = ct_slice(PatientName="QUARLES^ALMA", PatientID="MRN4711X")
    output, evidence = deidentifier().deidentify_bytes(data)
    model = evidence.model()
    assert model["source"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert model["output"] == {"sha256": hashlib.sha256(output).hexdigest(), "bytes": len(output)}
    done = {name: entry["action"] for entry in model["actions"] for name in entry["attributes"]}
    assert done["PatientName"] == done["PatientID"] == "pseudonym"
    assert done["StudyInstanceUID"] == "uid"
    assert "QUARLES" not in str(model)
    assert "4711" not in str(model)


def test_bulk_data_is_copied_and_not_read_whole(deidentifier):
    class Counted:
        def __init__(self, data: bytes) -> None:
            self.data, self.size, self.most = data, len(data), 0

        def read(self, offset: int, length: int) -> bytes:
            self.most = max(self.most, length)
            return self.data[offset : offset + length]

    source = Counted(ct_slice(size=2048))
    released = deidentifier().deidentify(source)
    released.write(lambda piece: None)
    assert source.size > 8_000_000
    assert source.most <= 1 << 20


def test_pixels_that_masks_cleaned_are_said_to_be_clean_but_not_to_be_without_text():
    mask = Mask(manufacturer="*", rows=64, columns=64, rectangles=((0, 0, 20, 8),))
    policy = Pixels(read="never", masks=(mask,))
    profile = profiles.load("basic").model_copy(update={"pixels": policy})
    cleaner = PixelCleaner(policy, None, InProcessSandbox())
    masked = Deidentifier(profile, Pseudonyms(bytes(32)), pixels=cleaner)
    output, evidence = masked.deidentify_bytes(ct_slice(size=64, BurnedInAnnotation="YES"))
    after = read(output)
    assert evidence.pixels is not None
    assert [cut["why"] for cut in evidence.pixels["cuts"]] == ["mask"]
    assert {item.CodeValue for item in after.DeidentificationMethodCodeSequence} == {"113100", "113101"}
    assert after.BurnedInAnnotation == "YES"  # nobody looked beside the masks
    other, _ = masked.deidentify_bytes(ct_slice(size=32))
    assert {item.CodeValue for item in read(other).DeidentificationMethodCodeSequence} == {"113100"}
