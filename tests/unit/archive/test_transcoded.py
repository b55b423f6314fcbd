"""Retrieve in other transfer syntaxes: every bundled file in every one, held against ourselves and other programs."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from isocenter.adapters.memory.blobs import MemoryBlobStore
from isocenter.adapters.processes import ProcessSandbox
from isocenter.archive.retrieve import WHOLE, Retrieve
from isocenter.archive.store import Caller, Placement, Store
from isocenter.archive.transcoded import Transcoded
from isocenter.dicom.codestream import read_jpeg_2000
from isocenter.dicom.decode import DecodedFrame, decode_frame
from isocenter.dicom.elements import Limits
from isocenter.dicom.pixel_encode import (
    HTJ2K,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS_SV1,
    JPEG_LS,
    JPEG_LS_NEAR,
    LOSSLESS_TARGETS,
    LOSSY_TARGETS,
    NATIVE_TARGETS,
    RLE,
    Quality,
)
from isocenter.errors import BadRequest, Corrupted, NotAcceptable, NotFound
from isocenter.pipeline.ingest import Ingest
from isocenter.ports.platform import Platform
from isocenter.records import ImageRecord
from isocenter.testing.elements import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    description,
    element,
    encapsulated,
    identity,
    instance,
    item,
    native,
    sequence,
)
from isocenter.testing.faults import CountingBlobStore
from isocenter.testing.instances import cr_image, ct_slice, png_picture, us_cine
from isocenter.testing.mixtures import transcoded
from isocenter.testing.pixel_samples import PixelSample, bundled_images, read_sample

Make = Callable[..., Platform]
BROKEN = {"MR_truncated.dcm", "JPEG2000-embedded-sequence-delimiter.dcm", "badVR.dcm"}
# Without the identifiers that the archive asks for.
NAMELESS = {
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jls_lossy_sample.dcm",
}
FILES = [path for path in bundled_images() if path.name not in BROKEN | NAMELESS]


def kept(platform: Platform, data: bytes) -> ImageRecord:
    batch = Ingest(Store(platform, Limits())).batch(Caller())
    intake = batch.begin("", Placement("raw"))
    intake.write(data)
    intake.finish()
    (receipt,) = batch.close()
    assert receipt.record is not None, receipt.error
    return receipt.record


def opened(platform: Platform) -> Transcoded:
    return Transcoded(platform, Retrieve(platform), 30)


def whole(platform: Platform, data: bytes, target: str, quality: Quality | None = None) -> bytes:
    return b"".join(opened(platform).part10(kept(platform, data), target, quality).chunks)


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode("latin-1")
    return (done.stdout + done.stderr).decode("latin-1")


def sample(path: Path, data: bytes) -> PixelSample:
    path.write_bytes(data)
    return read_sample(path)


def decoded(found: PixelSample, number: int = 1) -> DecodedFrame:
    description = found.description
    skip = 0 if description.encapsulated else description.frame_span(number).skip_bits
    return decode_frame(description, found.frame(number), skip_bits=skip)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_real_file_is_the_same_picture_in_every_transfer_syntax(
    make_platform: Make, path: Path, tmp_path: Path
) -> None:
    platform = make_platform()
    record = kept(platform, path.read_bytes())
    service = opened(platform)
    before = read_sample(path)
    last = before.description.number_of_frames
    expected = {number: decoded(before, number) for number in {1, last}}
    targets = service.targets(record)
    assert set(NATIVE_TARGETS) <= set(targets)
    for target in targets:
        after = sample(tmp_path / "made.dcm", b"".join(service.part10(record, target).chunks))
        assert after.transfer_syntax_uid == target
        assert after.description.number_of_frames == last
        for number, frame in expected.items():
            found = decoded(after, number)
            if target not in LOSSY_TARGETS:
                assert found.photometric_interpretation == frame.photometric_interpretation
                assert found.pixels.dtype == frame.pixels.dtype
                np.testing.assert_array_equal(found.pixels, frame.pixels)
            elif found.photometric_interpretation == frame.photometric_interpretation:
                error = np.abs(found.pixels.astype(float) - frame.pixels)
                bound = {JPEG_LS_NEAR: 2.0, JPEG_BASELINE: 32.0}.get(target, float(np.ptp(frame.pixels)) / 20 + 3)
                assert error.max() <= bound or error.mean() < 3


@pytest.mark.parametrize("name", ["CT_small.dcm", "693_J2KI.dcm", "SC_rgb_jpeg_gdcm.dcm", "examples_palette.dcm"])
def test_what_dcmtk_decodes_is_pixel_for_pixel_what_we_kept(make_platform: Make, tmp_path: Path, name: str) -> None:
    path = Path(str(get_testdata_file(name, download=False)))
    platform = make_platform()
    record = kept(platform, path.read_bytes())
    expected = decoded(read_sample(path)).pixels
    tools = {JPEG_LOSSLESS_SV1: ["dcmdjpeg", "+cn"], JPEG_LS: ["dcmdjpls"], RLE: ["dcmdrle"]}
    for target, tool in tools.items():
        (tmp_path / "made.dcm").write_bytes(b"".join(opened(platform).part10(record, target).chunks))
        run(*tool, tmp_path / "made.dcm", tmp_path / "native.dcm")
        np.testing.assert_array_equal(decoded(read_sample(tmp_path / "native.dcm")).pixels, expected)


def test_dcmtk_decodes_our_lossy_jpeg_close_to_the_source(make_platform: Make, tmp_path: Path) -> None:
    data = us_cine(frames=2)
    made = whole(make_platform(), data, JPEG_BASELINE, Quality(jpeg=95))
    (tmp_path / "made.dcm").write_bytes(made)
    run("dcmdjpeg", tmp_path / "made.dcm", tmp_path / "native.dcm")
    found = pydicom.dcmread(tmp_path / "native.dcm")
    before = pydicom.dcmread(BytesIO(data)).pixel_array.astype(int)
    assert found.PhotometricInterpretation == "RGB"
    assert np.abs(found.pixel_array.astype(int) - before).mean() < 6  # speckle, its chrominance halved


@pytest.mark.parametrize("make", [ct_slice, cr_image, us_cine], ids=lambda make: make.__name__)
def test_dcmdump_and_dciodvfy_find_nothing_that_the_source_has_not(
    make_platform: Make, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    platform = make_platform()
    data = make()
    record = kept(platform, data)
    (tmp_path / "source.dcm").write_bytes(data)

    def errors(path: Path) -> set[str]:
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False)
        return {line for line in done.stderr.decode("latin-1").splitlines() if line.startswith("Error")}

    before = errors(tmp_path / "source.dcm")
    for target in opened(platform).targets(record):
        path = tmp_path / "made.dcm"
        path.write_bytes(b"".join(opened(platform).part10(record, target).chunks))
        assert "W:" not in run("dcmdump", "-q", path)
        if target not in (HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K):  # which dciodvfy has never heard of
            assert errors(path) <= before, target


def test_another_jpeg_2000_decoder_agrees(make_platform: Make, tmp_path: Path) -> None:
    """OpenJPEG reads what OpenJPH wrote; pydicom has no decoder of its own here."""
    expected = pydicom.dcmread(BytesIO(ct_slice(size=64))).pixel_array
    for target in (JPEG_2000_LOSSLESS, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL):
        frame = sample(tmp_path / "made.dcm", whole(make_platform(), ct_slice(size=64), target)).frame()
        assert read_jpeg_2000(frame).precision == 12
        np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(frame), expected)


@pytest.mark.parametrize("source", [IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_other_native_encodings_become_explicit_and_equal(make_platform: Make, source: str) -> None:
    plain = ct_slice(size=32)
    made = whole(make_platform(), transcoded(plain, source), EXPLICIT)
    start = element(0x00080005, "CS", "ISO_IR 192")  # where the Data Set begins
    assert made[made.index(start) :] == plain[plain.index(start) :]


@pytest.mark.parametrize("source", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_a_report_without_pixels_has_native_targets_and_keeps_its_content(make_platform: Make, source: str) -> None:
    platform = make_platform()
    path = Path(str(get_testdata_file("reportsi.dcm", download=False)))
    before = pydicom.dcmread(path)
    file = BytesIO()
    before.file_meta.TransferSyntaxUID = pydicom.uid.UID(source)
    implicit, little = source == IMPLICIT, source != BIG_ENDIAN
    pydicom.dcmwrite(file, before, implicit_vr=implicit, little_endian=little, force_encoding=True)
    record = kept(platform, file.getvalue())
    assert set(opened(platform).targets(record)) == {source, EXPLICIT, IMPLICIT}
    for target in NATIVE_TARGETS:
        found = pydicom.dcmread(BytesIO(b"".join(opened(platform).part10(record, target).chunks)))
        assert found.file_meta.TransferSyntaxUID == target
        assert found == pydicom.dcmread(path)
    with pytest.raises(NotAcceptable):
        opened(platform).part10(record, JPEG_LS)


def test_its_own_transfer_syntax_is_the_original(make_platform: Make) -> None:
    data = ct_slice(size=32)
    platform = make_platform()
    record = kept(platform, data)
    found = opened(platform).part10(record, EXPLICIT)
    assert b"".join(found.chunks) == data
    assert (found.size, found.etag) == (len(data), record.blob.sha256)


def test_packed_bits_stay_packed(make_platform: Make) -> None:
    path = Path(str(get_testdata_file("liver_expb_1frame.dcm", download=False)))
    platform = make_platform()
    record = kept(platform, path.read_bytes())
    assert not set(opened(platform).targets(record)) & {*LOSSLESS_TARGETS, *LOSSY_TARGETS}
    found = pydicom.dcmread(BytesIO(b"".join(opened(platform).part10(record, EXPLICIT).chunks)))
    np.testing.assert_array_equal(found.pixel_array, pydicom.dcmread(path).pixel_array)


def test_a_compressed_icon_becomes_native(make_platform: Make) -> None:
    pixels = np.arange(64, dtype="u1").reshape(8, 8)
    jpeg_ls = bytes(imagecodecs.jpegls_encode(pixels))
    icon = item(description(8, 8, bits=8) + encapsulated((jpeg_ls[:40], jpeg_ls[40:])))
    parts = (description(8, 8, bits=8), sequence(0x00880200, icon), encapsulated((jpeg_ls,)))
    made = whole(make_platform(), instance("2.25.4", *parts, transfer_syntax=JPEG_LS), EXPLICIT)
    found = pydicom.dcmread(BytesIO(made))
    assert found.IconImageSequence[0].PixelData == pixels.tobytes()
    assert found.PixelData == pixels.tobytes()


def test_of_a_large_file_only_what_is_needed_is_read_at_a_time(make_platform: Make) -> None:
    rows = 1024
    pixels = (np.arange(rows * rows * 4, dtype="<u4") % 4096).astype("<u2").tobytes()
    after = element(0x7FE11001, "UN", b"\1" * 2000)
    data = instance("2.25.5", description(rows, rows, frames="4", stored=12), native(pixels), after)
    assert len(data) > WHOLE
    blobs = CountingBlobStore(MemoryBlobStore())
    platform = make_platform(blobs=blobs)
    record = kept(platform, data)
    blobs.bytes_read = 0
    found = opened(platform).part10(record, RLE)
    assert blobs.bytes_read < 2 * rows * rows * 2  # one frame, and the header
    made = pydicom.dcmread(BytesIO(b"".join(found.chunks)))
    assert made.pixel_array.astype("<u2").tobytes() == pixels
    assert made[0x7FE11001].value == b"\1" * 2000
    blobs.bytes_read = 0
    (frame,) = opened(platform).frames(record, [3], JPEG_LS)
    assert blobs.bytes_read == rows * rows * 2
    assert imagecodecs.jpegls_decode(frame).tobytes() == pixels[rows * rows * 4 : rows * rows * 6]


def test_frames_come_in_the_order_asked_and_those_that_are_not_there_before_all(make_platform: Make) -> None:
    platform = make_platform()
    record = kept(platform, us_cine(frames=3, rows=24, columns=32))
    service = opened(platform)
    one, three = service.frames(record, [1, 3], RLE)
    assert [one, three] == [next(service.frames(record, [1], RLE)), next(service.frames(record, [3], RLE))]
    assert one != three
    with pytest.raises(NotFound):
        service.frames(record, [1, 4], RLE)
    with pytest.raises(NotAcceptable):
        service.frames(record, [1], "1.2.840.10008.1.2.4.100")
    assert list(service.frames(record, [2], IMPLICIT)) == list(Retrieve(platform).frames(record, [2]))
    native = list(opened(platform).frames(record, [2], EXPLICIT))
    assert len(native[0]) == 24 * 32 * 3


def test_frames_of_a_compressed_instance_come_natively_too(make_platform: Make) -> None:
    plain = ct_slice(size=32)
    platform = make_platform()
    record = kept(platform, transcoded(plain, JPEG_LS))
    assert list(opened(platform).frames(record, [1], EXPLICIT)) == [pydicom.dcmread(BytesIO(plain)).PixelData]


def test_an_altered_object_is_not_sent(make_platform: Make) -> None:
    platform = make_platform()
    data = ct_slice(size=32)
    record = kept(platform, data)
    platform.blobs.delete(record.blob.key)
    writer = platform.blobs.create(record.blob.key)
    writer.write(data[:-1] + b"\x7f")
    writer.commit()
    with pytest.raises(Corrupted):
        opened(platform).part10(record, RLE)


def test_a_picture_has_no_transfer_syntax(make_platform: Make) -> None:
    platform = make_platform()
    with pytest.raises(BadRequest):
        opened(platform).targets(kept(platform, png_picture()))


def test_pixels_that_no_description_fits_are_still_written_natively(make_platform: Make) -> None:
    odd = description(2, 2, bits=64) + native(bytes(range(32)))
    platform = make_platform()
    record = kept(platform, instance("2.25.6", odd, transfer_syntax=EXPLICIT))
    assert opened(platform).targets(record) == (EXPLICIT, IMPLICIT)
    assert b"".join(opened(platform).part10(record, IMPLICIT).chunks).endswith(bytes(range(32)))


def test_a_bare_data_set_is_transcoded_too(make_platform: Make) -> None:
    platform = make_platform()
    record = kept(platform, identity("2.25.7") + description(2, 2) + native(bytes(range(8))))
    found = pydicom.dcmread(BytesIO(b"".join(opened(platform).part10(record, RLE).chunks)))
    assert found.pixel_array.tobytes() == bytes(range(8))


def test_pixels_are_decoded_in_another_process(make_platform: Make) -> None:
    sandbox = ProcessSandbox(1, 1 << 30)
    try:
        platform = make_platform(sandbox=sandbox)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = pydicom.dcmread(BytesIO(whole(platform, ct_slice(size=32), RLE)))
        np.testing.assert_array_equal(found.pixel_array, pydicom.dcmread(BytesIO(ct_slice(size=32))).pixel_array)
    finally:
        sandbox.close()
