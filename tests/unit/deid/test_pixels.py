"""Text goes from pixels of every kind and transfer syntax, and nothing else does; a detector of stamps reads."""

from __future__ import annotations

import io
import warnings
import zlib

import cv2
import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from isocenter.adapters.memory.sandbox import InProcessSandbox
from isocenter.adapters.processes import ProcessSandbox
from isocenter.deid.identifiers import Known
from isocenter.deid.pixel_frames import FAMILIES
from isocenter.deid.pixel_policy import Mask, Pixels
from isocenter.deid.pixels import PixelCleaner
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.decode import decode_frame
from isocenter.dicom.file_meta import part10_header
from isocenter.dicom.frames import frame_table, read_frame
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import HeaderReader
from isocenter.dicom.pixel_description import PixelDescription
from isocenter.dicom.recode import Recoder, Source
from isocenter.errors import Malformed, Misconfigured, Rejected, Unsupported
from isocenter.ports.detector import TextBox
from isocenter.testing.instances import written
from isocenter.testing.pixel_instances import pixel_instance

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED, RLE, JPEG, JPEG_12 = (f"1.2.840.10008.1.2.{end}" for end in ("1.99", "5", "4.50", "4.51"))
LOSSLESS, SV1, LS, NEAR = (f"1.2.840.10008.1.2.4.{end}" for end in (57, 70, 80, 81))
J2K, J2K_LOSSY, HTJ2K, HTJ2K_RPCL = (f"1.2.840.10008.1.2.4.{end}" for end in (90, 91, 201, 202))

KNOWN = Known(frozenset(("winterbottom",)))
ALWAYS = Pixels(read="always")
ROWS, COLUMNS = 120, 160
PLACE = (36, 50)  # row and column of the stamp, in a frame of its own


def stamp(text):
    """A pattern that stands for a text, 24 rows by 48 columns."""
    seed = np.frombuffer(text.encode(), np.uint8).astype(np.uint32)
    small = np.random.default_rng(seed).integers(0, 2, (6, 12), dtype=np.uint8)
    return np.kron(small, np.ones((4, 4), np.uint8)).astype(bool)


class Stamps:
    """Reads stamps, light or dark, as they were put."""

    name = "stamps 1.0"

    def __init__(self, *texts):
        self.texts = texts or ("WINTERBOTTOM", "LIVER")
        self.areas = []

    def find(self, picture):
        grey = picture if picture.ndim == 2 else picture.max(axis=2)
        self.areas.append(grey.size)
        found = []
        for text in self.texts:
            pattern = stamp(text).astype(np.float32) * 255
            if grey.shape[0] < pattern.shape[0] or grey.shape[1] < pattern.shape[1]:
                continue
            likeness = np.nan_to_num(cv2.matchTemplate(grey.astype(np.float32), pattern, cv2.TM_CCOEFF_NORMED))
            likeness[np.abs(likeness) > 1.01] = 0  # of flat places
            for y, x in np.argwhere(np.abs(likeness) > 0.8):
                found.append(TextBox(text, 0.9, int(x), int(y), pattern.shape[1], pattern.shape[0]))
        return found


def background(dtype, low, high, samples=1, frames=1, seed=1):
    """Blurred noise between two values."""
    shape = (frames, ROWS, COLUMNS, samples)
    noise = np.random.default_rng(seed).random(shape, np.float32)
    noise = np.stack([cv2.GaussianBlur(frame, (5, 5), 0).reshape(shape[1:]) for frame in noise])
    found = (low + (high - low) * noise).astype(dtype)
    return found if samples > 1 else found[..., 0]


def put(frames, text, value, place=PLACE, numbers=None):
    """The stamp of a text written into frames, and the box it takes."""
    mark = stamp(text)
    y, x = place
    for number in range(len(frames)) if numbers is None else numbers:
        frames[number, y : y + mark.shape[0], x : x + mark.shape[1]][mark] = value
    return frames


class Parsed:
    """A file as the gateway reads it, its frames decoded."""

    def __init__(self, data):
        reader = HeaderReader()
        reader.feed(data)
        self.header = reader.finish()
        self.data = data
        if self.header.encoding.deflated:
            inflated = zlib.decompressobj(-15).decompress(data[self.header.body_offset :])
            self.data = inflated
        self.set = DataSet(encode(self.header.elements, big_endian=self.header.encoding.big_endian).model)
        self.longest_read = 0

    def read(self, offset, length):
        self.longest_read = max(self.longest_read, length)
        return self.data[offset : offset + length]

    @property
    def description(self):
        return PixelDescription.from_data_set(self.set, self.header.transfer_syntax_uid)

    def frame(self, number):
        description = self.description
        data = read_frame(frame_table(self.header, description), description, number, self.read)
        skip = 0 if description.encapsulated else description.frame_span(number).skip_bits
        return decode_frame(description, data, skip_bits=skip)

    @property
    def frames(self):
        return np.stack([self.frame(number + 1).pixels for number in range(self.description.number_of_frames)])


def no_icon(*_):
    raise AssertionError("there are no icons")


def cleaned(data, policy=ALWAYS, detector=None, known=KNOWN):
    """The result, the source, and the file that comes of it."""
    source = Parsed(data)
    cleaner = PixelCleaner(policy, detector or Stamps(), InProcessSandbox())
    result = cleaner.clean(source.header, source.read, known)
    assert result is not None
    syntax = result.transfer_syntax_uid
    if not result.changes:
        return result, source, data
    recoder = Recoder(Source(source.header.elements, source.header.encoding, source.read), implicit=False, icon=no_icon)
    body = b"".join(recoder.rewritten(result.changes))
    if syntax == DEFLATED:
        deflate = zlib.compressobj(wbits=-15)
        body = deflate.compress(body) + deflate.flush()
    return result, source, part10_header("1.2", "1.2.3", syntax) + body


def relabelled(data, syntax):
    """An RLE file under the name of another transfer syntax."""
    named = syntax.encode() + b"\0" * (len(syntax) % 2)
    old = b"UI" + len(RLE + " ").to_bytes(2, "little") + RLE.encode() + b"\0"
    assert old in data
    return data.replace(old, b"UI" + len(named).to_bytes(2, "little") + named)


def cut_mask(result, number=1):
    mask = np.zeros((ROWS, COLUMNS), bool)
    for cut in result.record.cuts:
        frames = set()
        for part in cut.frames.split(","):
            first, _, last = part.partition("-")
            frames |= set(range(int(first), int(last or first) + 1))
        if number in frames:
            mask[cut.y : cut.y + cut.height, cut.x : cut.x + cut.width] = True
    return mask


def check_only_boxes_changed(result, source, data, *, black):
    """Outside the boxes all is as it was, inside all is black, by our own decoder and, where it can, by pydicom."""
    after = Parsed(data)
    before, now = source.frames, after.frames
    for number in range(len(before)):
        mask = cut_mask(result, number + 1)
        assert np.array_equal(before[number][~mask], now[number][~mask])
        assert (now[number][mask] == black).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pydicom.dcmread(io.BytesIO(data))
        if (
            theirs.file_meta.TransferSyntaxUID in (EXPLICIT, IMPLICIT, DEFLATED, RLE)
            and theirs.HighBit == theirs.BitsStored - 1
        ):
            pixels = pixel_array(theirs, raw=True) if theirs.SamplesPerPixel > 1 else theirs.pixel_array
            assert np.array_equal(pixels.reshape(now.shape) if pixels.size == now.size else now, now)


GREY = [
    ("uint8", 8, 30, 180, 255),
    ("uint16", 12, 300, 3000, 4095),
    ("uint16", 16, 300, 50000, 65535),
    ("int16", 12, -1000, 900, 2047),
    ("int16", 16, -1000, 3000, 32767),
    ("uint32", 32, 30, 1 << 20, 1 << 21),
]


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize(
    ("syntax", "dtype", "stored", "low", "top", "mark"),
    [
        (syntax, *kind)
        for syntax in (EXPLICIT, IMPLICIT, BIG, DEFLATED, RLE, LS, J2K, SV1, HTJ2K)
        for kind in GREY
        # What is not coded so; and bytes in swapped words are tested by themselves.
        if (kind[0], syntax) not in ((("uint8", BIG), *(("uint32", each) for each in (LS, SV1, J2K, HTJ2K))))
    ],
)
def test_grey(dtype, stored, low, top, mark, photometric, syntax):
    frames = put(background(dtype, low, top), "WINTERBOTTOM", mark)
    data = pixel_instance(frames, photometric=photometric, transfer_syntax=syntax, stored=stored)
    result, source, out = cleaned(data)
    lowest, highest = int(frames.min()), int(frames.max())
    expected = {
        ("MONOCHROME2", "u"): 0,
        ("MONOCHROME2", "i"): lowest,
        ("MONOCHROME1", "u"): (1 << stored) - 1,
        ("MONOCHROME1", "i"): highest,
    }[photometric, frames.dtype.kind]
    check_only_boxes_changed(result, source, out, black=expected)
    assert result.transfer_syntax_uid == (EXPLICIT if syntax in (BIG, IMPLICIT) else syntax)
    assert result.record.verified
    mask = cut_mask(result)
    assert mask[36:60, 50:98].all()
    assert mask.sum() < 1.6 * 24 * 48
    assert {cut.why for cut in result.record.cuts} == {"identifier"}


@pytest.mark.parametrize(
    ("photometric", "syntax", "planar", "black"),
    [
        ("RGB", EXPLICIT, 0, (0, 0, 0)),
        ("RGB", EXPLICIT, 1, (0, 0, 0)),
        ("RGB", IMPLICIT, 1, (0, 0, 0)),
        ("RGB", RLE, 0, (0, 0, 0)),
        ("RGB", LS, 0, (0, 0, 0)),
        ("RGB", SV1, 0, (0, 0, 0)),
        ("RGB", J2K, 0, (0, 0, 0)),
        ("RGB", HTJ2K, 0, (0, 0, 0)),
        ("YBR_FULL", EXPLICIT, 0, (0, 128, 128)),
        ("YBR_FULL", EXPLICIT, 1, (0, 128, 128)),
        ("YBR_FULL", RLE, 0, (0, 128, 128)),
        ("YBR_FULL_422", EXPLICIT, 0, (0, 128, 128)),
    ],
)
def test_colour(photometric, syntax, planar, black):
    frames = background(np.uint8, 40, 160, samples=3, frames=2)
    mark = (250, 240, 60) if photometric == "RGB" else (250, 128, 128)
    put(frames, "WINTERBOTTOM", mark, place=(36, 51))
    data = pixel_instance(frames, photometric=photometric, transfer_syntax=syntax, planar=planar)
    result, source, out = cleaned(data)
    assert result.record.cuts
    if photometric == "YBR_FULL_422":  # a pixel beside the box shares its chrominance
        before, now = source.frames, Parsed(out).frames
        mask = cut_mask(result)
        assert (now[:, mask] == black).all()
        mask = mask | np.roll(mask, 1, axis=1) | np.roll(mask, -1, axis=1)
        assert np.array_equal(before[:, ~mask], now[:, ~mask])
        assert len(out) == len(data) or result.transfer_syntax_uid == EXPLICIT
    else:
        check_only_boxes_changed(result, source, out, black=black)
    assert result.transfer_syntax_uid == (EXPLICIT if syntax == IMPLICIT else syntax)
    assert Parsed(out).set.integer(0x00280006) == (planar if syntax in (EXPLICIT, IMPLICIT) else 0)


def test_palette_black_is_its_darkest_entry():
    frames = put(background(np.uint8, 10, 40), "WINTERBOTTOM", 200)
    entries = np.arange(255, -1, -1, dtype=np.uint16)
    entries[77] = 0
    entries[255] = 90
    table = (entries << 8).astype("<u2").tobytes()
    descriptor = [256, 0, 16]
    data = pixel_instance(
        frames, photometric="PALETTE COLOR",
        RedPaletteColorLookupTableDescriptor=descriptor, RedPaletteColorLookupTableData=table,
        GreenPaletteColorLookupTableDescriptor=descriptor, GreenPaletteColorLookupTableData=table,
        BluePaletteColorLookupTableDescriptor=descriptor, BluePaletteColorLookupTableData=table,
    )  # fmt: skip
    check_only_boxes_changed(*cleaned(data), black=77)


def test_a_palette_that_cannot_be_read_is_unsupported():
    with pytest.raises(Unsupported) as caught:
        cleaned(pixel_instance(background(np.uint8, 10, 40), photometric="PALETTE COLOR"))
    assert caught.value.code == "no-palette"


@pytest.mark.parametrize(
    ("syntax", "dtype", "stored", "photometric", "family"),
    [
        (JPEG, "uint8", 8, "MONOCHROME2", SV1),
        (JPEG, "uint8", 8, "RGB", SV1),
        (JPEG_12, "uint16", 12, "MONOCHROME2", SV1),
        (NEAR, "uint16", 12, "MONOCHROME2", LS),
        (J2K_LOSSY, "uint16", 12, "MONOCHROME2", J2K),
        (J2K_LOSSY, "uint8", 8, "RGB", J2K),
        (HTJ2K_RPCL, "uint16", 12, "MONOCHROME2", HTJ2K),
    ],
)
def test_what_was_compressed_is_lossless_in_its_family(syntax, dtype, stored, photometric, family):
    top = (1 << stored) - 1
    frames = background(dtype, top // 8, top // 2, samples=3 if photometric == "RGB" else 1, frames=2)
    put(frames, "WINTERBOTTOM", top)
    lossy = syntax != HTJ2K_RPCL
    stated = "01" if lossy and syntax != JPEG else "00"
    data = pixel_instance(
        frames, photometric=photometric, transfer_syntax=syntax, stored=stored, LossyImageCompression=stated
    )
    result, source, out = cleaned(data)
    check_only_boxes_changed(result, source, out, black=0)
    after = Parsed(out)
    assert result.transfer_syntax_uid == family == FAMILIES[syntax]
    assert (after.set.text(0x00282110) == "01") == lossy
    if photometric == "RGB":
        assert after.frame(1).photometric_interpretation == "RGB"
        assert after.set.integer(0x00280006) == 0


def test_what_no_family_can_hold_becomes_native():
    frames = put(background(np.uint8, 30, 100), "WINTERBOTTOM", 255)
    data_set = pydicom.dcmread(io.BytesIO(pixel_instance(frames, transfer_syntax=RLE)))
    codestream = bytes(imagecodecs.jpegxl_encode(frames[0], lossless=True, usecontainer=False))
    data_set.PixelData = pydicom.encaps.encapsulate([codestream + b"\0" * (len(codestream) % 2)])
    data_set["PixelData"].is_undefined_length = True
    result, source, out = cleaned(relabelled(written(data_set, RLE), "1.2.840.10008.1.2.4.110"))
    assert result.transfer_syntax_uid == EXPLICIT
    check_only_boxes_changed(result, source, out, black=0)


def test_bytes_in_swapped_words():
    frames = put(background(np.uint8, 30, 100, frames=2), "WINTERBOTTOM", 255)
    data_set = pydicom.dcmread(io.BytesIO(pixel_instance(frames)))
    data_set.PixelData = frames.reshape(-1, 2)[:, ::-1].tobytes()
    data_set["PixelData"].VR = "OW"
    result, source, out = cleaned(written(data_set, BIG))
    assert np.array_equal(source.frames, frames)
    check_only_boxes_changed(result, source, out, black=0)


def test_overlays_in_high_bits_stay_outside_and_go_inside():
    frames = put(background(np.int16, -1000, 900), "WINTERBOTTOM", 2047)
    overlay = np.random.default_rng(3).random(frames.shape) < 0.5
    data = pixel_instance(frames, stored=12, overlay=overlay)
    result, source, out = cleaned(data)
    mask = cut_mask(result)
    before, after = (
        np.frombuffer(file.data, "<u2", frames.size, file.header.elements[0x7FE00010].offset).reshape(ROWS, COLUMNS)
        for file in (source, Parsed(out))
    )
    assert np.array_equal(before[~mask], after[~mask])
    assert (after[mask] == int(frames.min()) & 0xFFF).all()


def test_a_high_bit_that_is_shifted_up():
    frames = put(background(np.uint16, 300, 3000), "WINTERBOTTOM", 4095)
    check_only_boxes_changed(*cleaned(pixel_instance(frames, stored=12, high_bit=15)), black=0)


def test_what_is_no_longer_true_of_the_values_goes():
    frames = put(background(np.uint16, 300, 3000), "WINTERBOTTOM", 4095)
    data = pixel_instance(frames, SmallestImagePixelValue=300, LargestImagePixelValue=4095)
    _, _, out = cleaned(data)
    assert 0x00280106 not in Parsed(out).set
    assert 0x00280107 not in Parsed(out).set


# ---- what is found and what is not


@pytest.mark.parametrize("syntax", [EXPLICIT, RLE, JPEG])
def test_without_identifiers_nothing_changes_and_the_record_says_who_looked(syntax):
    frames = put(background(np.uint8, 30, 100), "LIVER", 255)
    result, _, _ = cleaned(pixel_instance(frames, transfer_syntax=syntax))
    assert result.changes == {}
    assert result.transfer_syntax_uid == syntax
    assert (result.record.frames, result.record.frames_read, result.record.detector) == (1, 1, "stamps 1.0")
    assert result.record.verified is None
    assert result.record.cuts == ()


def test_where_all_text_goes_so_do_labels():
    frames = put(background(np.uint8, 30, 100), "LIVER", 255)
    result, source, out = cleaned(pixel_instance(frames), Pixels(read="always", remove="all"))
    assert [cut.why for cut in result.record.cuts] == ["text"]
    check_only_boxes_changed(result, source, out, black=0)


@pytest.mark.parametrize("mark", [0, 90, 2047, -1024, 700])
def test_text_of_any_value_in_the_range_is_seen(mark):
    frames = background(np.int16, -1000, -900)
    frames[:, :, 110:] += 1700
    frames[0, 0, 0], frames[0, 0, 1] = -1024, 3000
    put(frames, "WINTERBOTTOM", mark)
    result, _, _ = cleaned(pixel_instance(frames, WindowCenter=40, WindowWidth=400, RescaleSlope=1, RescaleIntercept=0))
    assert cut_mask(result)[40:56, 54:94].all()


def test_text_of_one_frame_is_found_and_gone_from_no_other():
    frames = background(np.uint8, 30, 100, frames=1).repeat(9, axis=0)
    put(frames, "WINTERBOTTOM", 255, numbers=[6])
    detector = Stamps()
    result, source, out = cleaned(pixel_instance(frames), detector=detector)
    assert {cut.frames for cut in result.record.cuts} == {"7"}
    check_only_boxes_changed(result, source, out, black=0)
    # The first frame, what is new in the seventh, and the seventh again.
    assert result.record.looks <= 3 * 4
    assert result.record.redacted_percent == pytest.approx(
        100 * cut_mask(result, 7).sum() / (9 * ROWS * COLUMNS), abs=1e-3
    )


def test_a_banner_over_all_frames_is_read_once():
    frames = put(background(np.uint8, 30, 100).repeat(40, axis=0), "WINTERBOTTOM", 255)
    result, source, out = cleaned(pixel_instance(frames))
    assert {cut.frames for cut in result.record.cuts} == {"1-40"}
    assert result.record.looks <= 10
    check_only_boxes_changed(result, source, out, black=0)


def test_a_banner_that_is_read_in_one_frame_goes_from_those_in_which_it_was_missed():
    class Moody(Stamps):
        def find(self, picture):
            found = super().find(picture)
            self.seen = getattr(self, "seen", 0) + 1
            return found if self.seen in (1, 2) or self.seen > 60 else []

    frames = put(background(np.uint8, 30, 100, frames=5, seed=4), "WINTERBOTTOM", 255)
    result, _, _ = cleaned(pixel_instance(frames), detector=Moody())
    assert all(cut_mask(result, number)[36:60, 50:98].all() for number in range(1, 6))


def test_what_comes_to_light_in_the_second_reading_goes_too():
    frames = put(background(np.uint8, 30, 100), "WINTERBOTTOM", 255)
    put(frames, "LIVER", 255, place=(80, 20))

    class Late(Stamps):
        def find(self, picture):
            found = super().find(picture)
            first = any(box.text == "WINTERBOTTOM" for box in found)
            return [
                TextBox("WINTERBOTTOM", 1, box.x, box.y, box.width, box.height)
                for box in found
                if box.text == "WINTERBOTTOM" or not first
            ]

    result, source, out = cleaned(pixel_instance(frames), detector=Late())
    assert result.record.verified
    assert cut_mask(result)[80:104, 20:68].all()
    check_only_boxes_changed(result, source, out, black=0)


def test_text_that_stays_legible_is_rejected():
    class Sees(Stamps):
        def find(self, picture):
            return [TextBox("WINTERBOTTOM", 1, 10, 10, 40, 10)]

    with pytest.raises(Rejected) as caught:
        cleaned(pixel_instance(background(np.uint8, 30, 100)), detector=Sees())
    assert caught.value.code == "burned-in-text-left"
    assert "WINTER" not in str(caught.value).upper()


def test_what_the_second_reading_finds_in_one_frame_is_looked_for_in_its_like():
    frames = put(background(np.uint8, 30, 100).repeat(6, axis=0), "WINTERBOTTOM", 255)
    put(frames, "LIVER", 255, place=(80, 20))

    class Late(Stamps):
        def find(self, picture):
            found = super().find(picture)
            first = any(box.text == "WINTERBOTTOM" for box in found)
            names = [TextBox("WINTERBOTTOM", 1, box.x, box.y, box.width, box.height) for box in found]
            return [name for name, box in zip(names, found, strict=True) if box.text == "WINTERBOTTOM" or not first]

    result, _, _ = cleaned(pixel_instance(frames), detector=Late())
    assert all(cut_mask(result, number)[80:104, 20:68].all() for number in range(1, 7))


def test_text_of_the_same_lightness_as_its_ground_goes_from_all_frames():
    frames = np.full((3, ROWS, COLUMNS, 3), (90, 0, 0), np.uint8)
    put(frames, "WINTERBOTTOM", (0, 90, 0))

    class Channel(Stamps):
        def find(self, picture):
            return super().find(picture[..., 1] if picture.ndim == 3 else picture)

    result, _, _ = cleaned(pixel_instance(frames, photometric="RGB"), detector=Channel())
    assert {cut.frames for cut in result.record.cuts} == {"1-3"}


def test_no_record_holds_what_was_read():
    frames = put(background(np.uint8, 30, 100), "WINTERBOTTOM", 255)
    result, _, _ = cleaned(pixel_instance(frames))
    assert "WINTER" not in repr(result).upper()
    assert "WINTER" not in str(result.evidence).upper()
    assert set(result.evidence) == {
        "frames", "frames_read", "detector", "looks", "cuts", "redacted_percent", "outside_text_percent", "verified",
        "because",
    }  # fmt: skip


# ---- first cuts


def test_masks_go_before_anything_is_read():
    frames = put(background(np.uint8, 30, 100, frames=3), "WINTERBOTTOM", 255)
    mask = Mask(manufacturer="acme*", rows=ROWS, columns=COLUMNS, rectangles=((40, 30, 70, 40),))
    data = pixel_instance(frames, Manufacturer="ACME Imaging")
    policy = Pixels(read="never", masks=(mask,))
    result, source, out = cleaned(data, policy, detector=Stamps())
    assert [(cut.why, cut.frames) for cut in result.record.cuts] == [("mask", "1-3")]
    assert result.record.redacted_percent == result.record.outside_text_percent == pytest.approx(14.5833, abs=1e-3)
    assert (result.record.detector, result.record.verified) == (None, None)
    check_only_boxes_changed(result, source, out, black=0)
    both, _, _ = cleaned(data, Pixels(read="always", masks=(mask,)))
    assert [cut.why for cut in both.record.cuts] == ["mask"]
    assert both.record.verified


def test_all_outside_the_ultrasound_regions_goes():
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 20, 30
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 119, 89
    frames = background(np.uint8, 30, 100)
    data = pixel_instance(frames, SequenceOfUltrasoundRegions=[region], modality="US")
    result, source, out = cleaned(data, Pixels(read="never", ultrasound_regions=True))
    expected = np.ones((ROWS, COLUMNS), bool)
    expected[30:90, 20:120] = False
    assert np.array_equal(cut_mask(result), expected)
    assert {cut.why for cut in result.record.cuts} == {"region"}
    check_only_boxes_changed(result, source, out, black=0)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_rectangles_of_any_native_pixels(data):
    dtype = data.draw(st.sampled_from(["uint8", "int16", "uint16", "uint32"]))
    samples = data.draw(st.sampled_from([1, 3])) if dtype == "uint8" else 1
    count = data.draw(st.integers(1, 3))
    size = 1, data.draw(st.integers(0, 100))
    rectangle = st.tuples(st.integers(0, 170), st.integers(0, 130), st.integers(1, 200), st.integers(1, 160))
    rectangles = tuple(data.draw(st.lists(rectangle, min_size=1, max_size=4, unique=True)))
    frames = background(dtype, 10, 200, samples=samples, frames=count, seed=size[1])
    planar = data.draw(st.integers(0, 1)) if samples == 3 else 0
    file = pixel_instance(frames, photometric="RGB" if samples == 3 else "MONOCHROME2", planar=planar)
    mask = Mask(rows=ROWS, columns=COLUMNS, rectangles=rectangles)
    result, source, out = cleaned(file, Pixels(read="never", masks=(mask,)))
    expected = np.zeros((ROWS, COLUMNS), bool)
    for x, y, width, height in rectangles:
        expected[y : y + height, x : x + width] = True
    if not expected.any():
        assert result.changes == {}
        return
    assert np.array_equal(cut_mask(result), expected)
    check_only_boxes_changed(result, source, out, black=0)


def test_packed_bits_are_cut_to_the_bit():
    rng = np.random.default_rng(8)
    frames = rng.random((3, 21, 13)) < 0.6
    data_set = pydicom.dcmread(io.BytesIO(pixel_instance(np.zeros((3, 21, 13), np.uint8))))
    packed = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    data_set.PixelData = packed + b"\0" * (len(packed) % 2)
    data_set.BitsAllocated = data_set.BitsStored = 1
    data_set.HighBit = 0
    file = io.BytesIO()
    data_set.save_as(file)
    mask = Mask(rows=21, columns=13, rectangles=((2, 3, 5, 7), (11, 20, 2, 1)))
    _, _, out = cleaned(file.getvalue(), Pixels(read="never", masks=(mask,)))
    expected = frames.copy()
    expected[:, 3:10, 2:7] = False
    expected[:, 20:21, 11:13] = False
    assert np.array_equal(Parsed(out).frames, expected)


def test_native_pixels_stream_by():
    frames = put(background(np.uint8, 30, 100, frames=60), "WINTERBOTTOM", 255)
    source = Parsed(pixel_instance(frames))
    result = PixelCleaner(ALWAYS, Stamps(), InProcessSandbox()).clean(source.header, source.read, KNOWN)
    assert result is not None
    pieces = [len(piece) for piece in result.changes[0x7FE00010] or ()]
    assert sum(pieces) == 12 + frames.size
    assert max(pieces) <= 1 << 20
    assert source.longest_read <= 1 << 20


# ---- refusals


def test_a_profile_that_has_text_read_takes_a_detector():
    with pytest.raises(Misconfigured) as caught:
        PixelCleaner(Pixels(), None, InProcessSandbox())
    assert caught.value.code == "detector-missing"
    PixelCleaner(Pixels(read="never"), None, InProcessSandbox())


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.100"])
def test_video_that_has_to_be_looked_at_is_unsupported(syntax):
    data = relabelled(pixel_instance(background(np.uint8, 1, 9), transfer_syntax=RLE), syntax)
    with pytest.raises(Unsupported) as caught:
        cleaned(data)
    assert caught.value.code == "video"


def test_codecs_run_in_processes_of_their_own():
    frames = put(background(np.uint16, 300, 3000, frames=2), "WINTERBOTTOM", 4095)
    source = Parsed(pixel_instance(frames, transfer_syntax=J2K, stored=12))
    sandbox = ProcessSandbox(1, 1 << 30)
    try:
        result = PixelCleaner(ALWAYS, Stamps(), sandbox).clean(source.header, source.read, KNOWN)
        assert result is not None
        assert {cut.frames for cut in result.record.cuts} == {"1-2"}
        assert sum(len(piece) for piece in result.changes[0x7FE00010] or ()) > 1000
    finally:
        sandbox.close()


def test_floating_point_is_looked_at_and_not_written():
    frames = put(background(np.float32, 0.1, 0.5), "WINTERBOTTOM", 1.0)
    data_set = pydicom.dcmread(io.BytesIO(pixel_instance(frames.astype(np.uint32))))
    del data_set.PixelData
    data_set.FloatPixelData = frames.tobytes()
    source = Parsed(written(data_set))
    cleaner = PixelCleaner(ALWAYS, Stamps(), InProcessSandbox())
    with pytest.raises(Unsupported) as caught:
        cleaner.clean(source.header, source.read, KNOWN)
    assert caught.value.code == "float-pixel-data"
    result = cleaner.clean(source.header, source.read, Known())
    assert result is not None
    assert (result.changes, result.record.frames_read) == ({}, 1)


def test_pixels_that_cannot_be_decoded_are_malformed():
    data = bytearray(pixel_instance(background(np.uint8, 1, 9), transfer_syntax=J2K))
    at = data.index(b"\xff\x4f\xff\x51")
    data[at + 100 : at + 4000] = bytes(3900)
    with pytest.raises(Malformed):
        cleaned(bytes(data))


def test_what_the_policy_leaves_alone_is_not_touched():
    source = Parsed(pixel_instance(background(np.uint8, 1, 9)))
    cleaner = PixelCleaner(Pixels(), Stamps(), InProcessSandbox())
    assert not cleaner.needs(source.set)
    assert cleaner.clean(source.header, source.read, KNOWN) is None
