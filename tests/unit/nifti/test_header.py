"""NIfTI headers: against nibabel, and against lies."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import struct
from typing import Any

import nibabel
import numpy as np
import pytest

from isocenter.errors import LimitExceeded, Malformed, NotAnImage, Rejected, Unsupported
from isocenter.nifti.header import NiftiHeader, read_header

AFFINE = np.array([[-1.2, 0.1, 0, 90], [0.05, 2.0, 0.2, -120], [0, -0.3, 3.0, 40], [0, 0, 0, 1]])


def nifti(
    version: int = 1, order: str = "<", kind: str = "i2", shape: tuple[int, ...] = (5, 6, 7), **fields: Any
) -> bytes:
    """A file made by nibabel, with header fields replaced."""
    made = (nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image)(np.zeros(shape, kind), AFFINE, dtype=kind)
    header = made.header.as_byteswapped(order)
    header["magic"] = b"n+1" if version == 1 else b"n+2"
    header["vox_offset"] = 352 if version == 1 else 544
    for name, value in fields.items():
        header[name] = value
    block: bytes = header.binaryblock
    return block + bytes(4) + bytes(int(np.prod(shape)) * np.dtype(kind).itemsize)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4", "f8", "c8", "u8"])
def test_every_version_byte_order_and_datatype_reads_as_in_nibabel(version: int, order: str, kind: str) -> None:
    data = nifti(version, order, kind, (5, 6, 7, 2), scl_slope=2.5, scl_inter=-3)
    found = read_header(data)
    assert (found.version, found.byte_order, found.dim) == (version, order, (5, 6, 7, 2))
    assert found.bitpix == 8 * np.dtype(kind).itemsize
    assert found.data_bytes == 420 * np.dtype(kind).itemsize
    assert (found.slope, found.inter) == (2.5, -3)
    assert found.vox_offset == found.header_bytes == (352 if version == 1 else 544)
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-4)


def test_the_qform_counts_where_there_is_no_sform() -> None:
    for flip in (1, -1):
        turned = nibabel.Nifti1Image(np.zeros((3, 4, 5), "u1"), None)
        rotation = nibabel.eulerangles.euler2mat(0.3, -0.2, 0.5) @ np.diag([1.5, 2, 2.5 * flip])
        affine = nibabel.affines.from_matvec(rotation, [10, 20, 30])
        turned.header.set_qform(affine, code=1)
        turned.header.set_sform(None, code=0)
        turned.header["magic"] = b"n+1"
        turned.header["vox_offset"] = 352
        np.testing.assert_allclose(read_header(turned.header.binaryblock).affine, affine, atol=1e-4)


def test_spacings_alone_count_where_there_is_neither_form() -> None:
    data = nifti(qform_code=0, sform_code=0, pixdim=[1, 2, 3, 4, 0, 0, 0, 0])
    np.testing.assert_array_equal(read_header(data).affine, np.diag([2, 3, 4, 1]))


def test_a_form_that_is_not_finite_or_flat_gives_way_to_the_next() -> None:
    forms: dict[str, Any] = {"qform_code": 0, "pixdim": [1, 2, 3, 4, 0, 0, 0, 0]}
    for row in ([np.nan, 0, 0, 0], [0, 0, 0, 0]):
        np.testing.assert_array_equal(read_header(nifti(srow_x=row, **forms)).affine, np.diag([2, 3, 4, 1]))
    odd = nifti(sform_code=0, qform_code=1, quatern_b=9, pixdim=[1, np.nan, -3, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(read_header(odd).affine, np.diag([1, 3, 1, 1]))


def test_a_slope_of_nought_or_nan_means_no_scaling() -> None:
    for slope in (0, np.nan, np.inf):
        found = read_header(nifti(scl_slope=slope, scl_inter=7))
        assert (found.slope, found.inter, found.scaled) == (1, 0, False)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"dim": [0, 5, 6, 7, 1, 1, 1, 1]}, Malformed),
        ({"dim": [8, 5, 6, 7, 1, 1, 1, 1]}, Malformed),
        ({"dim": [-3, 5, 6, 7, 1, 1, 1, 1]}, Malformed),
        ({"dim": [3, 5, 0, 7, 1, 1, 1, 1]}, Malformed),
        ({"dim": [3, 5, -6, 7, 1, 1, 1, 1]}, Malformed),
        ({"dim": [7, *[32767] * 7]}, LimitExceeded),
        ({"datatype": 0}, Malformed),
        ({"datatype": 1}, Malformed),
        ({"datatype": 9999}, Malformed),
        ({"bitpix": 8}, Malformed),
        ({"vox_offset": np.nan}, Malformed),
        ({"vox_offset": np.inf}, Malformed),
        ({"vox_offset": -352}, Malformed),
        ({"vox_offset": 100}, Malformed),
        ({"vox_offset": 352.5}, Malformed),
        ({"vox_offset": 1e18}, LimitExceeded),
        ({"magic": b"ni1"}, Unsupported),
        ({"magic": b""}, Unsupported),
        ({"magic": b"xyz"}, Malformed),
    ],
)
def test_a_header_that_lies_is_rejected(fields: dict[str, Any], kind: type[Rejected]) -> None:
    with pytest.raises(kind):
        read_header(nifti(**fields))


def test_a_nifti_2_header_of_2_to_the_62_voxels_is_a_limit() -> None:
    with pytest.raises(LimitExceeded):
        read_header(nifti(2, dim=[3, 2**40, 2**20, 4, 1, 1, 1, 1]))


def test_a_pair_is_refused_with_advice() -> None:
    with pytest.raises(Unsupported, match="convert"):
        read_header(nifti(magic=b"ni1"))
    with pytest.raises(Unsupported, match="convert"):
        read_header(nifti(2, magic=b"ni2"))


def test_nifti_2_damaged_by_a_text_mode_transfer_is_malformed() -> None:
    data = bytearray(nifti(2))
    data[8:12] = b"\n\x1a\n\0"
    with pytest.raises(Malformed, match="text-mode"):
        read_header(bytes(data))


def _with_extension(*sizes: int, offset: int = 416) -> bytes:
    data = nifti(vox_offset=offset)[:348] + b"\1\0\0\0"
    for size in sizes:
        data += struct.pack("<ii", size, 4) + bytes(max(0, min(size, 64) - 8))
    return data + bytes(512)


def test_extensions_that_fit_are_seen_and_passed_over() -> None:
    found = read_header(_with_extension(32, 32))
    assert (found.has_extensions, found.vox_offset) == (True, 416)
    assert not read_header(nifti()).has_extensions


@pytest.mark.parametrize("size", [0, -16, 4, 80, 2**31 - 1])
def test_an_extension_that_does_not_fit_before_the_voxels_is_malformed(size: int) -> None:
    with pytest.raises(Malformed, match="extension"):
        read_header(_with_extension(size))


@pytest.mark.parametrize("data", [b"", b"\x5c\x01", b"DICM" * 100, bytes(400), b"\x1f\x8b" + bytes(400)])
def test_other_files_are_no_nifti(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        read_header(data)


def test_a_header_cut_anywhere_is_rejected() -> None:
    for version, size in ((1, 348), (2, 540)):
        data = nifti(version)
        for length in range(0, size, 7):
            with pytest.raises(Rejected):
                read_header(data[:length])
        assert isinstance(read_header(data[:size]), NiftiHeader)


def test_any_single_damaged_byte_reads_or_is_rejected() -> None:
    for version in (1, 2):
        data = nifti(version)
        for place in range(544 if version == 2 else 352):
            for value in (0, 0x7F, 0x80, 0xFF):
                try:
                    read_header(data[:place] + bytes([value]) + data[place + 1 :])
                except Rejected:
                    continue
