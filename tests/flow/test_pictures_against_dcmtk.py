"""Every image pydicom's wheel carries, and made ones of the kinds it lacks: our picture and DCMTK's are the same."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from isocenter.archive.rendered import Rendered
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller, Placement, Store
from isocenter.dicom.decode import decode_frame
from isocenter.dicom.elements import Limits
from isocenter.errors import IsocenterError
from isocenter.pipeline.ingest import Ingest
from isocenter.ports.platform import Platform
from isocenter.render.asked import Look
from isocenter.render.frame import FrameRequest, render_frame
from isocenter.testing.instances import cr_image, written
from isocenter.testing.pixel_samples import PixelSample, bundled_image, bundled_images, read_sample

Pixels = np.ndarray[Any, Any]
Make = Callable[..., Platform]

# What no picture can be made of, here or there.
BROKEN = {
    "MR_truncated.dcm": "its pixel data is cut short; DCMTK refuses it too",
    "JPEG2000-embedded-sequence-delimiter.dcm": "a delimiter is written over the image's width; no decoder reads it",
    "badVR.dcm": "NumberOfFrames is no number: we refuse it, DCMTK takes it as one frame",
}
# What ingest refuses and DCMTK shows: rendered from the file's header and frames instead.
NOT_KEPT = {
    "JPEGLSNearLossless_08.dcm": "StudyInstanceUID is missing",
    "JPEGLSNearLossless_16.dcm": "StudyInstanceUID is missing",
    "SC_rgb_jls_lossy_line.dcm": "StudyInstanceUID is missing",
    "SC_rgb_jls_lossy_sample.dcm": "StudyInstanceUID is missing",
}
# What DCMTK gets decoded, as Explicit VR Little Endian; it has no JPEG 2000 (any file of that syntax), besides:
DECODED_FOR_DCMTK = {
    "SC_rgb_jpeg.dcm": "an explicit VR element inside its implicit VR Data Set makes DCMTK lose its way",
    "rtdose_expb.dcm": "DCMTK swaps 32-bit pixels of big-endian OW by 16-bit words; all others by 32 bits",
    "rtdose_expb_1frame.dcm": "as rtdose_expb.dcm",
}
# What we stretch to square pixels and DCMTK without its scaling does not: compared pixel for pixel, as stored.
NOT_SQUARE = {
    "6293": "PixelSpacing is not square",
    "6924": "PixelSpacing is not square",
}
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_SPACINGS = ("00280030", "00280034", "00181164", "00182010")


def dcmtk(path: Path, folder: Path, *options: str, frame: int = 1) -> Pixels:
    tool = "dcml2pnm" if pydicom.dcmread(path, specific_tags=[]).file_meta.TransferSyntaxUID in _JPEG_LS else "dcmj2pnm"
    assert shutil.which(tool), "DCMTK is missing; on Debian: apt-get install dcmtk"
    target = folder / "dcmtk.png"
    command = [tool, "+F", str(frame), *options, "+on", str(path), str(target)]
    ran = subprocess.run(command, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode(errors="replace")[-500:]
    found: Pixels = imagecodecs.png_decode(target.read_bytes())
    return found


def decoded_for_dcmtk(sample: PixelSample, folder: Path) -> Path:
    """The same image with its pixel data decoded, by our decoder, as Explicit VR Little Endian."""
    description = sample.description
    frames = [decode_frame(description, sample.frame(number)) for number in range(1, description.number_of_frames + 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = pydicom.dcmread(sample.path)
        data_set.decode()
        pixels = np.stack([frame.pixels for frame in frames])
        data_set.PhotometricInterpretation = frames[0].photometric_interpretation
        data_set.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        data_set["PixelData"].VR = "OW"
        data_set["PixelData"].is_undefined_length = False
        if description.samples_per_pixel == 3:
            data_set.PlanarConfiguration = 0
        data_set.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        path = folder / "decoded.dcm"
        pydicom.dcmwrite(path, data_set, implicit_vr=False, little_endian=True, force_encoding=True)
    return path


def kept_request(platform: Platform, data: bytes, frame: int) -> FrameRequest:
    """What the archive makes of a file that came in, ready to be rendered."""
    batch = Ingest(Store(platform, Limits())).batch(Caller())
    intake = batch.begin("", Placement("raw"))
    intake.write(data)
    intake.finish()
    (receipt,) = batch.close()
    assert receipt.record is not None, receipt.error
    rendered = Rendered(platform, Retrieve(platform), 60)
    request = rendered.frame_request(receipt.record, Look("image/png", frame))
    assert rendered.picture(receipt.record, Look("image/png", frame)) == render_frame(request)
    return request


def compared(found: bytes, expected: Pixels) -> None:
    ours = imagecodecs.png_decode(found)
    if ours.ndim == 3 and expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    assert ours.shape == expected.shape
    difference = np.abs(ours.astype(int) - expected)
    assert difference.mean() < 1
    assert difference.max() <= 2


def first_and_last() -> list[Any]:
    samples = [read_sample(path) for path in bundled_images() if path.name not in BROKEN]
    return [
        pytest.param(sample, frame, id=f"{sample.path.name}-{frame}")
        for sample in samples
        for frame in sorted({1, sample.description.number_of_frames})
    ]


@pytest.mark.parametrize(("sample", "frame"), first_and_last())
def test_a_bundled_image_is_drawn_as_dcmtk_draws_it(
    sample: PixelSample, frame: int, make_platform: Make, tmp_path: Path
) -> None:
    path = sample.path
    if path.name in NOT_KEPT:
        request = FrameRequest(sample.model, sample.transfer_syntax_uid, sample.frame(frame), frame, "image/png")
    else:
        request = kept_request(make_platform(), path.read_bytes(), frame)
    if path.name in NOT_SQUARE:
        square = {key: value for key, value in request.model.items() if key not in _SPACINGS}
        request = replace(request, model=square)
    source = path
    if path.name in DECODED_FOR_DCMTK or sample.transfer_syntax_uid in _JPEG_2000:
        source = decoded_for_dcmtk(sample, tmp_path)
    # Without a window of its own an image is shown by its range; DCMTK's default is the range of what its bits hold.
    window = ["+Wi", "1"] if "00281050" in sample.model else ["+Wm"]
    compared(render_frame(request), dcmtk(source, tmp_path, *window, frame=frame))


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_what_is_broken_is_refused(name: str) -> None:
    path = next(p for p in bundled_images() if p.name == name)
    with pytest.raises(IsocenterError):
        sample = read_sample(path)
        render_frame(FrameRequest(sample.model, sample.transfer_syntax_uid, sample.frame()))


def test_no_exception_is_named_that_is_none() -> None:
    names = {path.name for path in bundled_images()}
    assert names.issuperset({*BROKEN, *NOT_KEPT, *DECODED_FOR_DCMTK, *NOT_SQUARE})


# Made images --------------------------------------------------------------------------------------------------


def lookup(first: int, bits: int, entries: Pixels) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    return item


def plain(**changes: Any) -> Dataset:
    """A CR of 64 x 48 with every value from 0 to 3071, without its own window."""
    data_set = pydicom.dcmread(BytesIO(cr_image(rows=64, columns=48)))
    del data_set.WindowCenter, data_set.WindowWidth, data_set.PixelSpacing
    data_set.PhotometricInterpretation = "MONOCHROME2"
    data_set.PixelData = np.arange(64 * 48, dtype="<u2").tobytes()
    for keyword, value in changes.items():
        setattr(data_set, keyword, value)
    return data_set


def overlay(
    data_set: Dataset, rows: int, columns: int, origin: list[int], group: int = 0x6000, frames: int = 0
) -> None:
    bits = np.random.default_rng(group).integers(0, 2, max(1, frames) * rows * columns, np.uint8)
    data_set.add_new((group, 0x0010), "US", rows)
    data_set.add_new((group, 0x0011), "US", columns)
    data_set.add_new((group, 0x0040), "CS", "G")
    data_set.add_new((group, 0x0050), "SS", origin)
    data_set.add_new((group, 0x0100), "US", 1)
    data_set.add_new((group, 0x0102), "US", 0)
    if frames:
        data_set.add_new((group, 0x0015), "IS", frames)
    packed = np.packbits(bits, bitorder="little").tobytes()
    data_set.add_new((group, 0x3000), "OW", packed + b"\0" * (len(packed) % 2))


def with_overlay(**where: Any) -> Dataset:
    data_set = plain()
    overlay(data_set, **where)
    return data_set


def with_overlay_in_spare_bits() -> Dataset:
    data_set = plain(BitsStored=12, HighBit=11)
    words = np.arange(64 * 48, dtype="<u2")
    words[500:1500] |= 0x8000
    data_set.PixelData = words.tobytes()
    for element, vr, value in ((0x10, "US", 64), (0x11, "US", 48), (0x40, "CS", "G"), (0x50, "SS", [1, 1])):
        data_set.add_new((0x6000, element), vr, value)
    data_set.add_new((0x6000, 0x0100), "US", 16)
    data_set.add_new((0x6000, 0x0102), "US", 15)
    return data_set


def signed() -> Dataset:
    values = np.arange(64 * 48) % 4096 - 2048
    return plain(
        PixelRepresentation=1, BitsStored=12, HighBit=11, PixelData=(values & 0x0FFF).astype("<u2").tobytes(),
        RescaleSlope=2, RescaleIntercept=-100,
    )  # fmt: skip


def padded_in_high_bits() -> Dataset:
    values = (np.arange(64 * 48) % 1024) << 4
    return plain(BitsStored=12, HighBit=15, PixelData=values.astype("<u2").tobytes())


def colour(photometric: str, *, planar: int = 0, samples: Pixels | None = None, bits: int = 8) -> Dataset:
    data_set = plain(PhotometricInterpretation=photometric, SamplesPerPixel=3, PlanarConfiguration=planar)
    data_set.BitsAllocated = data_set.BitsStored = bits
    data_set.HighBit = bits - 1
    if samples is None:
        # Smooth, so that no colour lies outside what RGB holds: how that is cut differs.
        y, x = np.mgrid[0:64, 0:48]
        samples = np.stack([80 + y, 108 + x // 2, 148 - y // 2], axis=-1).astype("u1")
    data_set.PixelData = (samples.transpose(2, 0, 1) if planar else samples).tobytes()
    return data_set


def subsampled(photometric: str) -> Dataset:
    y, x = np.mgrid[0:64, 0:24]
    groups = np.stack([80 + y, 90 + y, 108 + x, 148 - y // 2], axis=-1).astype("u1")
    return colour(photometric, samples=groups)


def palette(bits: int, *, segmented: bool = False) -> Dataset:
    data_set = plain(PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8, BitsStored=8, HighBit=7)
    data_set.PixelData = (np.arange(64 * 48) % 256).astype("u1").tobytes()
    ramps = {"Red": np.arange(256), "Green": 255 - np.arange(256), "Blue": (np.arange(256) * 7) % 256}
    for name, ramp in ramps.items():
        setattr(data_set, f"{name}PaletteColorLookupTableDescriptor", [256, 0, bits])
        data_set[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
        entries = (ramp * 257 if bits == 16 else ramp).astype("<u2")
        if segmented:
            data = np.concatenate([np.array([0, 256], "<u2"), entries])
            if name == "Red":
                data = np.array([0, 1, 0, 1, 255, entries[-1]], "<u2")
            setattr(data_set, f"Segmented{name}PaletteColorLookupTableData", data.tobytes())
        else:
            packed = entries.tobytes() if bits == 16 else ramp.astype("u1").tobytes()
            setattr(data_set, f"{name}PaletteColorLookupTableData", packed)
    return data_set


CURVE = np.rint(np.sqrt(np.arange(4096) / 4095) * 1023)
# Each with DCMTK's options.
MADE: dict[str, tuple[Callable[[], Dataset], tuple[str, ...]]] = {
    "monochrome1": (lambda: plain(PhotometricInterpretation="MONOCHROME1"), ("+Wm",)),
    "inverse": (lambda: plain(PresentationLUTShape="INVERSE"), ("+Wm",)),
    "signed, rescaled": (signed, ("+Wm",)),
    "high bit 15 of 12": (padded_in_high_bits, ("+Wm",)),
    "window": (lambda: plain(WindowCenter=1500, WindowWidth=900), ("+Wi", "1")),
    "sigmoid": (lambda: plain(WindowCenter=1500, WindowWidth=900, VOILUTFunction="SIGMOID"), ("+Wi", "1")),
    "voi lut": (lambda: plain(VOILUTSequence=[lookup(0, 10, CURVE)]), ("+Wl", "1")),
    "voi lut from 500 on": (lambda: plain(VOILUTSequence=[lookup(500, 10, CURVE[:1024])]), ("+Wl", "1")),
    "modality lut": (lambda: plain(ModalityLUTSequence=[lookup(0, 10, CURVE)], ModalityLUTType="OD"), ("+Wm",)),
    "overlay": (lambda: with_overlay(rows=64, columns=48, origin=[1, 1]), ("+Wm",)),
    "overlay inside": (lambda: with_overlay(rows=20, columns=13, origin=[30, 17]), ("+Wm",)),
    "overlay over the edge": (lambda: with_overlay(rows=40, columns=50, origin=[-5, -9]), ("+Wm",)),
    "overlay in spare bits": (with_overlay_in_spare_bits, ("+Wm",)),
    "rgb by plane": (lambda: colour("RGB", planar=1), ()),
    "ybr full": (lambda: colour("YBR_FULL"), ()),
    "ybr full by plane": (lambda: colour("YBR_FULL", planar=1), ()),
    "ybr full 4:2:2": (lambda: subsampled("YBR_FULL_422"), ()),
    "ybr partial 4:2:2": (lambda: subsampled("YBR_PARTIAL_422"), ()),
    "palette of 16 bits": (lambda: palette(16), ()),
    "palette of 8 bits": (lambda: palette(8), ()),
}


@pytest.mark.parametrize("name", MADE)
def test_a_made_image_is_drawn_as_dcmtk_draws_it(name: str, make_platform: Make, tmp_path: Path) -> None:
    make, options = MADE[name]
    data = written(make())
    path = tmp_path / "made.dcm"
    path.write_bytes(data)
    request = kept_request(make_platform(), data, 1)
    compared(render_frame(request), dcmtk(path, tmp_path, *options))


@pytest.mark.parametrize("function", ["LINEAR", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40.0, 400.0), (-600.0, 1500.0), (300.0, 50.0)])
def test_a_window_asked_for_is_dcmtks(center: float, width: float, function: Any, tmp_path: Path) -> None:
    sample = read_sample(bundled_image("CT_small.dcm"))
    request = FrameRequest(sample.model, sample.transfer_syntax_uid, sample.frame(), media_type="image/png")
    found = render_frame(replace(request, window=(center, width), window_function=function))
    option = "+Wfl" if function == "LINEAR" else "+Wfs"
    compared(found, dcmtk(sample.path, tmp_path, "+Ww", str(center), str(width), option))


@pytest.mark.parametrize("frame", [1, 3, 6])
def test_overlays_of_a_cine_go_with_their_frames_as_dcmtks_do(frame: int, make_platform: Make, tmp_path: Path) -> None:
    # Of grey: DCMTK draws none over colour, which the standard does not except.
    cine = np.tile(np.arange(30 * 43, dtype="<u2"), 6)
    data_set = plain(Rows=30, Columns=43, NumberOfFrames=6, PixelData=cine.tobytes())
    overlay(data_set, 30, 43, [1, 1], frames=6)
    data = written(data_set)
    path = tmp_path / "cine.dcm"
    path.write_bytes(data)
    compared(render_frame(kept_request(make_platform(), data, frame)), dcmtk(path, tmp_path, "+Wm", frame=frame))


def test_a_segmented_palette_is_drawn_as_the_plain_one_which_dcmtk_knows(make_platform: Make, tmp_path: Path) -> None:
    path = tmp_path / "plain.dcm"
    path.write_bytes(written(palette(16)))
    found = render_frame(kept_request(make_platform(), written(palette(16, segmented=True)), 1))
    compared(found, dcmtk(path, tmp_path))
