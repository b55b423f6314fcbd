"""Three circles lie where an independent computation puts them, on every kind of image and nothing else is touched."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pydicom.data
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels.processing import convert_color_space
from pydicom.pixels.utils import pixel_array

from isocenter.algorithms.base import Output
from isocenter.errors import BadRequest, LimitExceeded, Malformed, Rejected, Unsupported
from isocenter.pipeline.analyse import Analysis
from isocenter.records import Kind
from isocenter.testing.instances import ct_slice, jpeg_picture, sample_study
from isocenter.testing.pixel_instances import pixel_instance

Run = Callable[..., Output]

JPEG_LS, JPEG_2000, RLE = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"
IMPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
CAPTURE, COLOUR_CAPTURE = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.4"


def with_circles(shown: NDArray[np.uint8], *, width: Fraction | None = None, fill: bool = False) -> NDArray[np.uint8]:
    """What system A asks for, pixel by pixel in exact fractions: diameters H/4, gaps H/16, in the middle column."""
    found = np.stack([shown] * 3, axis=-1) if shown.ndim == 2 else shown.copy()
    rows, columns = found.shape[:2]
    gap, radius = Fraction(rows, 16), Fraction(rows, 8)
    line = max(Fraction(1), Fraction(rows, 128)) if width is None else width
    for number, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        middle = gap + radius + number * (2 * radius + gap)
        for row in range(rows):
            for column in range(columns):
                across, down = column + Fraction(1, 2) - Fraction(columns, 2), row + Fraction(1, 2) - middle
                squared = across * across + down * down
                if squared <= radius * radius and (fill or radius <= line or squared >= (radius - line) ** 2):
                    found[row, column] = colour
    return found


def result(output: Output) -> Dataset:
    (made,) = output.made
    assert (made.media_type, made.suffix) == ("application/dicom", ".dcm")
    return pydicom.dcmread(BytesIO(made.data))


def noise(*shape: int, most: int = 256, dtype: str = "u1") -> NDArray[Any]:
    return np.random.default_rng(sum(shape)).integers(0, most, shape).astype(dtype)


SIZES = [(64, 64), (48, 96), (96, 48), (64, 10), (1, 1), (2, 300), (7, 5), (33, 47)]
SYNTAXES = ["1.2.840.10008.1.2.1", IMPLICIT, BIG, DEFLATED, JPEG_LS, JPEG_2000, RLE]


# No encoder makes JPEG 2000 codestreams of fewer than four rows or columns.
@pytest.mark.parametrize(("size", "syntax"), [(a, b) for a in SIZES for b in SYNTAXES if b != JPEG_2000 or min(a) >= 4])
def test_grey_of_any_size_and_transfer_syntax(run: Run, size: tuple[int, int], syntax: str) -> None:
    frames = noise(1, *size)
    data = pixel_instance(frames, transfer_syntax=syntax)
    before = bytes(data)
    made = result(run("three-circles", data))
    assert np.array_equal(made.pixel_array, with_circles(frames[0]))
    assert data == before
    assert made.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert (made.PhotometricInterpretation, made.BitsAllocated, made.BitsStored, made.HighBit) == ("RGB", 8, 8, 7)


def test_sixteen_signed_bits_are_shown_as_their_window_says(run: Run) -> None:
    frames = np.random.default_rng(1).integers(-2000, 3000, (1, 32, 40)).astype("i2")
    data = pixel_instance(frames, stored=16, WindowCenter=40, WindowWidth=400, RescaleSlope=2, RescaleIntercept=-100)
    # PS3.3 C.11.2.1.2.1, one pixel at a time.
    levels = np.empty(frames.shape[1:], np.uint8)
    for place, stored in np.ndenumerate(frames[0]):
        value = 2 * int(stored) - 100
        if value <= 40 - 0.5 - 399 / 2:
            level = 0.0
        elif value > 40 - 0.5 + 399 / 2:
            level = 255.0
        else:
            level = ((value - (40 - 0.5)) / 399 + 0.5) * 255
        levels[place] = int(level + 0.5)
    made = result(run("three-circles", data))
    assert np.array_equal(made.pixel_array, with_circles(levels))
    # An instance whose pixels are levels already is shown as it is: centre and width are those of identity.
    assert (made.WindowCenter, made.WindowWidth) == (128, 256)
    assert "RescaleSlope" not in made
    assert "RescaleIntercept" not in made


def test_monochrome1_is_shown_inverted(run: Run) -> None:
    frames = noise(1, 40, 24)
    made = result(run("three-circles", pixel_instance(frames, photometric="MONOCHROME1")))
    assert np.array_equal(made.pixel_array, with_circles(255 - frames[0]))


def test_a_palette_becomes_its_colours_and_goes(run: Run) -> None:
    frames = noise(1, 32, 32)
    tables = [np.random.default_rng(n).permutation(256).astype("<u2") * 257 for n in range(3)]
    names = ("Red", "Green", "Blue")
    attributes: dict[str, Any] = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in names}
    for name, table in zip(names, tables, strict=True):
        attributes[f"{name}PaletteColorLookupTableData"] = table.tobytes()
    made = result(run("three-circles", pixel_instance(frames, photometric="PALETTE COLOR", **attributes)))
    expected = np.stack([table[frames[0]] >> 8 for table in tables], axis=-1).astype(np.uint8)
    assert np.array_equal(made.pixel_array, with_circles(expected))
    assert not [element.keyword for element in made if "Palette" in element.keyword]


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_stays_its_colour(run: Run, planar: int) -> None:
    frames = noise(1, 24, 40, 3)
    made = result(run("three-circles", pixel_instance(frames, photometric="RGB", planar=planar)))
    assert np.array_equal(made.pixel_array, with_circles(frames[0]))
    assert made.PlanarConfiguration == 0


def test_ybr_ultrasound_becomes_rgb(run: Run) -> None:
    path = get_testdata_file("examples_ybr_color.dcm", download=False)  # RLE, 30 frames, YBR_FULL
    assert isinstance(path, str)
    data = Path(path).read_bytes()
    made = result(run("three-circles", data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = pydicom.dcmread(path)
        frames = pixel_array(source, raw=True)
    assert made.NumberOfFrames == source.NumberOfFrames == 30
    for number in (0, 29):
        expected = with_circles(convert_color_space(frames[number], "YBR_FULL", "RGB"))
        # Two conversions of rounded coefficients.
        assert np.abs(made.pixel_array[number].astype(int) - expected).max() <= 1
    assert made.SOPClassUID == source.SOPClassUID


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", JPEG_LS, RLE])
def test_every_frame_of_many_has_its_circles(run: Run, syntax: str) -> None:
    frames = noise(5, 24, 20)
    output = run("three-circles", pixel_instance(frames, transfer_syntax=syntax))
    made = result(output)
    assert made.SOPClassUID == COLOUR_CAPTURE
    assert np.array_equal(made.pixel_array, np.stack([with_circles(frame) for frame in frames]))
    assert [finding.frame for finding in output.findings] == [n for n in range(1, 6) for _ in range(3)]


@pytest.mark.parametrize(
    ("given", "width", "fill"), [(3, 3, False), (0.5, 0.5, False), (None, None, True), (99, 99, False)]
)
def test_lines_of_any_width_and_discs(run: Run, given: float | None, width: float | None, fill: bool) -> None:
    frames = noise(1, 64, 64)
    made = result(run("three-circles", pixel_instance(frames), line_width=given, fill=fill))
    line = None if width is None else Fraction(width)
    assert np.array_equal(made.pixel_array, with_circles(frames[0], width=line, fill=fill))


def test_findings_are_the_boxes_of_the_circles(run: Run) -> None:
    boxes = [(f.label, f.box) for f in run("three-circles", pixel_instance(noise(1, 64, 100))).findings]
    assert boxes == [
        ("red circle", (42.0, 4.0, 16.0, 16.0)),
        ("green circle", (42.0, 24.0, 16.0, 16.0)),
        ("blue circle", (42.0, 44.0, 16.0, 16.0)),
    ]


def test_pictures_get_them_too(run: Run) -> None:
    data = jpeg_picture()
    (made,) = run("three-circles", data, Kind.JPEG).made
    assert (made.media_type, made.suffix) == ("image/png", ".png")
    assert np.array_equal(imagecodecs.png_decode(made.data), with_circles(imagecodecs.jpeg8_decode(data)))


def test_it_says_what_it_came_of(run: Run) -> None:
    source = pydicom.dcmread(BytesIO(ct_slice(WindowCenter=300, SmallestImagePixelValue=0)))
    made = result(run("three-circles", ct_slice(WindowCenter=300, SmallestImagePixelValue=0)))
    assert made.SOPInstanceUID != source.SOPInstanceUID
    assert made.SeriesInstanceUID != source.SeriesInstanceUID
    assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "FrameOfReferenceUID", "PixelSpacing"):
        assert made[keyword].value == source[keyword].value
    (reference,) = made.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == source.SOPClassUID
    assert made.DerivationDescription.startswith("three-circles 1.0.0: ")
    assert made.DerivationCodeSequence
    assert list(made.ImageType)[:2] == ["DERIVED", "SECONDARY"]
    assert made.ContributingEquipmentSequence[-1].Manufacturer == "Isocenter"
    assert made.SOPClassUID == CAPTURE
    assert "SmallestImagePixelValue" not in made


def test_twice_gives_the_same_bytes_and_other_parameters_another_instance(run: Run) -> None:
    data = ct_slice()
    first, again, other = (run("three-circles", data, fill=fill).made[0].data for fill in (False, False, True))
    assert first == again
    assert pydicom.dcmread(BytesIO(first)).SOPInstanceUID != pydicom.dcmread(BytesIO(other)).SOPInstanceUID
    two = [result(run("three-circles", ct_slice(number=number))) for number in (1, 2)]
    assert two[0].SeriesInstanceUID == two[1].SeriesInstanceUID
    assert two[0].SOPInstanceUID != two[1].SOPInstanceUID


def test_lossy_stays_lossy(run: Run) -> None:
    lossy = result(run("three-circles", pixel_instance(noise(1, 32, 32), transfer_syntax="1.2.840.10008.1.2.4.50")))
    assert lossy.LossyImageCompression == "01"
    stated = ct_slice(
        LossyImageCompression="01", LossyImageCompressionRatio=12, LossyImageCompressionMethod="ISO_10918_1"
    )
    made = result(run("three-circles", stated))
    assert (made.LossyImageCompression, made.LossyImageCompressionRatio) == ("01", 12)


def test_private_attributes_and_overlays_in_the_pixels_go_and_overlays_apart_stay(run: Run) -> None:
    plane = np.packbits(np.eye(64, dtype=np.uint8), bitorder="little").tobytes()
    source = pydicom.dcmread(BytesIO(ct_slice(size=64)))
    source.add_new(0x00090010, "LO", "SOMEBODY")
    source.add_new(0x00091001, "LO", "something")
    for group, kept in ((0x6000, True), (0x6002, False)):
        values = {
            0x10: ("US", 64),
            0x11: ("US", 64),
            0x40: ("CS", "G"),
            0x50: ("SS", [1, 1]),
            0x100: ("US", 1 if kept else 16),
        }
        values |= {0x102: ("US", 0 if kept else 15)} | ({0x3000: ("OW", plane)} if kept else {})
        for element, (vr, value) in values.items():
            source.add_new(group << 16 | element, vr, value)
    file = BytesIO()
    source.save_as(file)
    made = result(run("three-circles", file.getvalue()))
    assert made[0x60003000].value == plane
    assert not [element for element in made if element.tag.is_private or element.tag.group == 0x6002]


def faults(data: bytes, path: Path) -> set[str]:
    path.write_bytes(data)
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False, timeout=60).stderr
    return {line for line in said.decode(errors="replace").splitlines() if line.startswith("Error")}


@pytest.mark.parametrize("name", ["ct-01.dcm", "cr.dcm", "us.dcm"])
def test_dciodvfy_finds_no_error_in_what_came_of_a_valid_instance(run: Run, tmp_path: Path, name: str) -> None:
    data = dict(sample_study())[name]
    assert faults(data, tmp_path / "source.dcm") == set()
    assert faults(run("three-circles", data).made[0].data, tmp_path / "made.dcm") == set()


BUNDLED = sorted((Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm"))


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_dciodvfy_finds_no_error_that_the_source_had_not(run: Run, tmp_path: Path, path: Path) -> None:
    data = path.read_bytes()
    try:
        made = run("three-circles", data).made[0].data
    except Rejected:
        return  # the test below counts that few are
    assert faults(made, tmp_path / "made.dcm") <= faults(data, tmp_path / "source.dcm")
    assert made == run("three-circles", data).made[0].data


def test_most_bundled_instances_get_their_circles(run: Run) -> None:
    """So that the test above does not pass by refusing."""
    done = 0
    for path in BUNDLED:
        with suppress(Rejected):
            run("three-circles", path.read_bytes())
            done += 1
    assert done > 50


def test_what_cannot_be_done_is_refused_with_a_reason(run: Run, analysis: Analysis) -> None:
    with pytest.raises(Unsupported) as none:
        run("three-circles", ct_slice(PixelData=None))
    assert none.value.code == "no-pixel-data"
    with pytest.raises(Malformed):
        run("three-circles", ct_slice()[:-1000])
    with pytest.raises(BadRequest, match="line_width"):
        analysis.check("three-circles", {"line_width": 0})
    with pytest.raises(BadRequest, match="colour"):
        analysis.check("three-circles", {"colour": "red"})


def test_a_result_too_large_is_refused(run: Run) -> None:
    from isocenter.adapters.memory.sandbox import InProcessSandbox
    from isocenter.algorithms.registry import Registry
    from isocenter.deid.source import InMemory

    small = Analysis(Registry.standard(), InProcessSandbox(), most_bytes=100_000)
    with pytest.raises(LimitExceeded) as refused:
        small.run(small.check("three-circles", {}), InMemory(ct_slice()), Kind.DICOM)
    assert refused.value.code == "algorithm-result-too-large"
