"""Pictures of what is kept: which bytes are read, where they are made, animations, and why there is none."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, RLELossless

from isocenter.adapters.blobs.folder import FolderBlobStore
from isocenter.adapters.memory.sandbox import InProcessSandbox
from isocenter.archive.recent import Recent
from isocenter.archive.rendered import Rendered
from isocenter.archive.retrieve import Retrieve
from isocenter.archive.store import Caller, Placement, Store
from isocenter.dicom.elements import Limits
from isocenter.dicom.instance import Metadata
from isocenter.errors import BadRequest, LimitExceeded, Malformed, NotFound, Unsupported
from isocenter.pipeline.ingest import Ingest
from isocenter.ports.platform import Platform
from isocenter.records import ImageRecord
from isocenter.render.asked import Look, Viewport
from isocenter.render.icc import named_profile
from isocenter.testing.instances import cr_image, ct_slice, nifti_volume, png_picture, us_cine, written

Make = Callable[..., Platform]
INLINE = 256 << 10  # more than is kept inline, so that it is read by reference


class WatchedSandbox(InProcessSandbox):
    """Counts what is handed over."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def run(self, task: Any, argument: Any, *, seconds: float) -> Any:
        self.asked.append(argument)
        return super().run(task, argument, seconds=seconds)


@pytest.fixture
def sandbox() -> WatchedSandbox:
    return WatchedSandbox()


@pytest.fixture
def platform(make_platform: Make, sandbox: WatchedSandbox, tmp_path: Path) -> Platform:
    return make_platform(blobs=FolderBlobStore(tmp_path), sandbox=sandbox)


@pytest.fixture
def rendered(platform: Platform) -> Rendered:
    return Rendered(platform, Retrieve(platform), 30)


@pytest.fixture
def keep(platform: Platform) -> Callable[[bytes], ImageRecord]:
    def kept(data: bytes) -> ImageRecord:
        batch = Ingest(Store(platform, Limits())).batch(Caller())
        intake = batch.begin("", Placement("raw"))
        intake.write(data)
        intake.finish()
        (receipt,) = batch.close()
        assert receipt.record is not None, receipt.error
        return receipt.record

    return kept


Keep = Callable[[bytes], ImageRecord]


def data_set_of(data: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(data))


def in_run_lengths(data: bytes) -> bytes:
    data_set = data_set_of(data)
    data_set.compress(RLELossless)
    file = BytesIO()
    data_set.save_as(file)
    return file.getvalue()


def shown(picture: bytes) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = imagecodecs.png_decode(picture)
    return found


def test_native_frames_are_drawn_here_and_codestreams_in_the_sandbox(
    rendered: Rendered, keep: Keep, sandbox: WatchedSandbox
) -> None:
    native, coded = ct_slice(1, 4, size=64), in_run_lengths(ct_slice(2, 4, size=64))
    here = rendered.picture(keep(native), Look())
    assert not sandbox.asked
    there = rendered.picture(keep(coded), Look())
    assert len(sandbox.asked) == 1
    assert shown(here).shape == shown(there).shape == (64, 64)


def test_what_is_asked_for_reaches_the_picture(rendered: Rendered, keep: Keep) -> None:
    record = keep(ct_slice(1, 4, size=64))
    plain = rendered.picture(record, Look())
    for look in (
        Look(window=(0.0, 3000.0)),
        Look(window=(40.0, 400.0), window_function="SIGMOID"),
        Look(viewport=Viewport(64, 64, 0, 0, -64, 64)),
        Look(annotations=("patient",)),
        Look(annotations=("technique",)),
        Look(icc_profile="yes"),
        Look("image/gif"),
        Look("image/jpeg", quality=10),
    ):
        assert rendered.picture(record, look) != plain
    assert shown(rendered.picture(record, Look(width=30))).shape == (30, 30)
    with pytest.raises(BadRequest):
        rendered.picture(record, Look(viewport=Viewport(64, 64, 64, 64)))


def test_the_patient_reaches_a_worker_only_for_an_annotation(rendered: Rendered, keep: Keep) -> None:
    record = keep(ct_slice(1, 4, size=64))
    name = str(data_set_of(ct_slice(1, 4, size=64)).PatientName)
    assert name not in repr(rendered.frame_request(record, Look(annotations=("technique",))).model)
    assert name in repr(rendered.frame_request(record, Look(annotations=("patient",))).model)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", ExplicitVRBigEndian])
def test_an_overlay_kept_by_reference_is_drawn(rendered: Rendered, keep: Keep, syntax: str) -> None:
    rows, columns = 1600, 1500
    data_set = data_set_of(cr_image(rows=rows, columns=columns))
    bits = np.random.default_rng(1).integers(0, 2, rows * columns, np.uint8)
    packed = np.packbits(bits, bitorder="little")
    assert len(packed) > INLINE
    for element, vr, value in (
        (0x10, "US", rows), (0x11, "US", columns), (0x40, "CS", "G"), (0x50, "SS", [1, 1]), (0x100, "US", 1),
        (0x102, "US", 0),
    ):  # fmt: skip
        data_set.add_new((0x6000, element), vr, value)
    big = syntax == ExplicitVRBigEndian
    words = packed.view("<u2")
    data_set.add_new((0x6000, 0x3000), "OW", (words.byteswap() if big else words).tobytes())
    if big:
        data_set.PixelData = np.frombuffer(data_set.PixelData, "<u2").byteswap().tobytes()
    record = keep(written_as(data_set, syntax))
    assert "InlineBinary" not in rendered.frame_request(record, Look(overlays=False)).model["60003000"]
    found = shown(rendered.picture(record, Look()))
    np.testing.assert_array_equal(found[bits.reshape(rows, columns) == 1], 255)
    without = shown(rendered.picture(record, Look(overlays=False)))
    assert (without != 255).any()
    np.testing.assert_array_equal(found, np.where(bits.reshape(rows, columns), 255, without))


def written_as(data_set: Dataset, syntax: str) -> bytes:
    """As `written`, in an encoding of either byte order."""
    if syntax != ExplicitVRBigEndian:
        return written(data_set, syntax)
    template = data_set_of(written(data_set)).file_meta
    template.TransferSyntaxUID = ExplicitVRBigEndian
    data_set.file_meta = template
    file = BytesIO()
    pydicom.dcmwrite(file, data_set, implicit_vr=False, little_endian=False, force_encoding=True)
    return file.getvalue()


def test_look_up_tables_kept_by_reference_are_read(rendered: Rendered, keep: Keep) -> None:
    data_set = data_set_of(cr_image(rows=8, columns=8))
    del data_set.WindowCenter, data_set.WindowWidth
    data_set.PhotometricInterpretation = "MONOCHROME2"
    data_set.PixelData = np.arange(64, dtype="<u2").tobytes()
    item = Dataset()
    item.LUTDescriptor = [0, 0, 16]
    item.LUTData = (65535 - np.arange(65536)).astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    data_set.VOILUTSequence = [item]
    found = shown(rendered.picture(keep(written(data_set)), Look()))
    assert found.min() == found.max() == 255


def test_an_icc_profile_is_read_only_where_it_is_asked_for(
    rendered: Rendered, keep: Keep, sandbox: WatchedSandbox
) -> None:
    data_set = data_set_of(us_cine(rows=16, columns=16))
    profile = named_profile("adobergb") + bytes(INLINE)
    data_set.add_new(0x00282000, "OB", profile)
    record = keep(written(data_set))
    rendered.picture(record, Look())
    assert not sandbox.asked
    assert "00282000" not in rendered.frame_request(record, Look()).model
    rendered.picture(record, Look(icc_profile="yes"))
    (request,) = sandbox.asked
    assert base64.b64decode(request.model["00282000"]["InlineBinary"]) == profile


def test_pictures_come_one_for_each_frame(rendered: Rendered, keep: Keep) -> None:
    record = keep(us_cine(rows=24, columns=32))
    made = list(rendered.pictures(record, Look(), [6, 1, 6]))
    assert made[0] == made[2] == rendered.picture(record, Look(frame=6))
    assert made[1] == rendered.picture(record, Look(frame=1))
    for frames in ([1, 7], [0], [-1]):
        with pytest.raises(NotFound):
            rendered.pictures(record, Look(), frames)
    volume = keep(nifti_volume())
    assert list(rendered.pictures(volume, Look(), [1])) == [rendered.picture(volume, Look())]
    with pytest.raises(NotFound):
        rendered.pictures(volume, Look(), [2])


def frames_of(gif: bytes) -> list[np.ndarray[Any, Any]]:
    whole = imagecodecs.gif_decode(gif)
    return list(whole) if whole.ndim == 4 else [whole]


def test_an_animation_shows_every_frame_for_its_time(rendered: Rendered, keep: Keep) -> None:
    record = keep(us_cine(rows=24, columns=32, FrameTime=70))
    pieces = list(rendered.animation(record, Look(viewport=Viewport(16, 16))))
    made = b"".join(pieces)
    assert len(pieces) == 7
    found = frames_of(made)
    assert len(found) == 6
    assert found[0].shape == (12, 16, 3)
    expected = [shown(p) for p in rendered.pictures(record, Look(viewport=Viewport(16, 16)), range(1, 7))]
    for frame, still in zip(found, expected, strict=True):
        assert np.abs(frame.astype(int) - still).mean() < 4
    times = [struct.unpack_from("<H", made, at + 4)[0] for at in range(len(made)) if made[at : at + 3] == b"\x21\xf9\4"]
    assert times == [7] * 6


def test_an_animation_of_some_frames_has_them_in_order_and_is_made_as_it_is_read(
    rendered: Rendered, keep: Keep, sandbox: WatchedSandbox
) -> None:
    record = keep(us_cine(rows=24, columns=32))
    pieces = rendered.animation(record, Look(), [5, 2])
    assert len(sandbox.asked) == 1
    assert len(frames_of(b"".join(pieces))) == 2
    assert [request.frame_number for request in sandbox.asked] == [5, 2]


def test_an_animation_that_cannot_be_is_refused_before_it_begins(rendered: Rendered, keep: Keep) -> None:
    record = keep(us_cine(rows=24, columns=32))
    with pytest.raises(NotFound):
        rendered.animation(record, Look(), [99])
    with pytest.raises(BadRequest):
        rendered.animation(record, Look(), [])
    with pytest.raises(LimitExceeded):
        rendered.animation(record, Look(), [1] * 6000)
    with pytest.raises(Unsupported):
        rendered.animation(keep(png_picture()), Look())
    with pytest.raises(Unsupported):
        rendered.animation(record, Look(icc_profile="yes"))


def test_a_thumbnail_is_small_and_of_the_middle_frame(rendered: Rendered, keep: Keep) -> None:
    record = keep(us_cine(rows=240, columns=320))
    made = rendered.thumbnail(record)
    assert imagecodecs.jpeg8_decode(made).shape == (96, 128, 3)
    assert len(made) < 6000
    assert made == rendered.thumbnail(record, frame=3)
    assert made != rendered.thumbnail(record, frame=1)
    assert shown(rendered.thumbnail(record, "image/png", Viewport(32, 32))).shape[:2] == (24, 32)
    for data in (nifti_volume(), png_picture()):
        assert max(imagecodecs.jpeg8_decode(rendered.thumbnail(keep(data))).shape) == 128


def test_volumes_and_pictures_take_what_applies_to_them(rendered: Rendered, keep: Keep) -> None:
    volume, picture = keep(nifti_volume()), keep(png_picture())
    look = Look(viewport=Viewport(40, 40), icc_profile="srgb", annotations=("patient",))
    for record in (volume, picture):
        assert max(shown(rendered.picture(record, look)).shape) == 40
        with pytest.raises(NotFound):
            rendered.picture(record, Look(frame=2))
    assert rendered.picture(volume, Look(window=(0.0, 10.0))) != rendered.picture(volume, Look())


def without_pixels(seed: int, **changes: Any) -> bytes:
    data_set = data_set_of(ct_slice(seed, size=16))
    del data_set.PixelData
    for keyword, value in changes.items():
        setattr(data_set, keyword, value)
    return written(data_set)


def test_why_there_is_no_picture_is_said(rendered: Rendered, keep: Keep, platform: Platform) -> None:
    with pytest.raises(Unsupported) as caught:
        rendered.picture(keep(without_pixels(5)), Look())
    assert caught.value.code == "no-pixel-data"
    document = without_pixels(6, EncapsulatedDocument=b"%PDF-1.4", MIMETypeOfEncapsulatedDocument="application/pdf")
    with pytest.raises(Unsupported) as caught:
        rendered.picture(keep(document), Look())
    assert caught.value.code == "encapsulated-document"


def test_a_video_has_no_pictures(rendered: Rendered, keep: Keep) -> None:
    data_set = data_set_of(us_cine(rows=16, columns=16))
    data_set.PixelData = pydicom.encaps.encapsulate([b"\0\0\1\xb3" + bytes(100)])
    data_set["PixelData"].is_undefined_length = True
    record = keep(written(data_set, "1.2.840.10008.1.2.4.102"))
    for make in (rendered.picture, rendered.animation):
        with pytest.raises(Unsupported) as caught:
            make(record, Look())
        assert caught.value.code == "video"


def test_frames_that_do_not_exist_are_not_found(rendered: Rendered, keep: Keep) -> None:
    record = keep(us_cine(rows=16, columns=16))
    for frame in (0, 7):
        with pytest.raises(NotFound):
            rendered.picture(record, Look(frame=frame))
    with pytest.raises(Malformed):
        rendered.picture(record, replace(Look(), window=(float("nan"), 1.0)))


def test_a_header_is_read_once_for_as_long_as_there_is_room(
    rendered: Rendered, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    original = Metadata.from_bytes

    def counted(data: bytes) -> Metadata:
        read.append(data)
        return original(data)

    monkeypatch.setattr(Metadata, "from_bytes", counted)
    rendered._recent = Recent(4, 1 << 30)
    record = keep(us_cine(rows=24, columns=32))
    for frame in (1, 2, 6, 1):
        rendered.picture(record, Look(frame=frame))
    assert len(read) == 1
    # Four are remembered, and this was the first.
    for seed in range(2, 6):
        rendered.picture(keep(us_cine(seed, rows=8, columns=8)), Look())
    rendered.picture(record, Look())
    assert len(read) == 6
    single = keep(ct_slice())
    for _ in range(3):
        rendered.picture(single, Look())
    assert len(read) == 7


def test_tables_that_are_loaded_with_a_header_count(rendered: Rendered, keep: Keep) -> None:
    data_set = data_set_of(us_cine(rows=16, columns=16))
    data_set.add_new(0x00282000, "OB", named_profile("adobergb") + bytes(INLINE))
    record = keep(written(data_set))
    rendered.picture(record, Look())
    before = rendered._recent._held
    rendered.picture(record, Look(icc_profile="yes"))
    assert rendered._recent._held >= before + 2 * INLINE
    rendered._recent = Recent(4, INLINE)
    rendered.picture(record, Look(icc_profile="yes"))
    assert rendered._recent._held == 0


def test_threads_that_ask_for_frames_of_one_cine_do_not_disturb_each_other(rendered: Rendered, keep: Keep) -> None:
    data_set = data_set_of(us_cine(rows=16, columns=16))
    data_set.add_new(0x00282000, "OB", named_profile("adobergb") + bytes(INLINE))
    record = keep(written(data_set))
    looks = [Look(frame=1 + n % 6, icc_profile="yes" if n % 3 == 0 else None) for n in range(48)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda look: rendered.picture(record, look), looks))
    assert made == [rendered.picture(record, look) for look in looks]
