"""Synthetic images of nobody, the same bytes for the same seed: instances, a sample study, other kinds."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any

import imagecodecs
import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from isocenter.dicom.file_meta import IMPLEMENTATION_CLASS_UID

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
CR_STORAGE = "1.2.840.10008.5.1.4.1.1.1"
US_MULTIFRAME_STORAGE = "1.2.840.10008.5.1.4.1.1.3.1"
SLICES = 12
_DATE, _TIME = "20240215", "101500"
_AIR, _WATER = -1000, 0


def uid(seed: int, *names: object) -> str:
    """A UID under 2.25 that follows from a seed and names."""
    text = "/".join(str(part) for part in ("isocenter", seed, *names))
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:15])}"


def ct_slice(seed: int = 1, number: int = 1, *, size: int = 256, slices: int = SLICES, **changes: Any) -> bytes:
    """One axial slice of a phantom, `number` from 1 up to the head; `changes` set attributes by keyword."""
    spacing = 320.0 / size
    half = (size - 1) / 2 * spacing
    data_set = _patient_and_study(seed)
    _series(data_set, seed, "CT", 1, CT_STORAGE, number)
    _values(
        data_set,
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], SeriesDescription="Phantom, axial",
        BodyPartExamined="CHEST", PatientPosition="HFS", FrameOfReferenceUID=uid(seed, "frame"),
        PositionReferenceIndicator="",
        ImagePositionPatient=[-half, -half, 5.0 * (number - 1)], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PixelSpacing=[spacing, spacing], SliceThickness=5, SliceLocation=5.0 * (number - 1), KVP=120,
        AcquisitionNumber=1, RescaleIntercept=-1024, RescaleSlope=1, RescaleType="HU",
        WindowCenter=40, WindowWidth=400,
    )  # fmt: skip
    hounsfield = _phantom(seed, size, (number - 1) / max(1, slices - 1))
    _pixels(data_set, (hounsfield + 1024).astype("<u2"), "MONOCHROME2", stored=12)
    return written(_changed(data_set, changes))


def cr_image(seed: int = 1, *, rows: int = 512, columns: int = 384, **changes: Any) -> bytes:
    """A projection of the phantom as a computed radiograph, dark air on MONOCHROME1."""
    data_set = _patient_and_study(seed)
    _series(data_set, seed, "CR", 2, CR_STORAGE, 1)
    _values(
        data_set,
        ImageType=["ORIGINAL", "PRIMARY"], SeriesDescription="Phantom, frontal", BodyPartExamined="CHEST",
        ViewPosition="AP", PatientOrientation=["L", "F"], AcquisitionNumber=None, PixelSpacing=[0.8, 0.8],
        WindowCenter=2048, WindowWidth=4096,
    )  # fmt: skip
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    thick = np.sqrt(np.clip(1 - x**2 / 0.7 - y**2 / 0.95, 0, None))
    lungs = ((np.abs(x) - 0.38) ** 2 / 0.05 + (y + 0.1) ** 2 / 0.35) < 1
    ribs = (np.sin(22 * (y + 0.25 * x**2)) > 0.7) & (np.abs(x) < 0.7)
    values = 3600 * thick * np.where(lungs, 0.55, 1.0) + 250 * ribs * (thick > 0)
    _pixels(data_set, np.clip(values, 0, 4095).astype("<u2"), "MONOCHROME1", stored=12)
    return written(_changed(data_set, changes))


def us_cine(seed: int = 1, *, frames: int = 6, rows: int = 240, columns: int = 320, **changes: Any) -> bytes:
    """An RGB ultrasound sector in which a bright spot moves from frame to frame."""
    data_set = _patient_and_study(seed)
    _series(data_set, seed, "US", 3, US_MULTIFRAME_STORAGE, 1)
    _values(
        data_set,
        ImageType=["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"], SeriesDescription="Phantom, cine",
        BodyPartExamined="ABDOMEN", PatientOrientation="", NumberOfFrames=frames, FrameTime=40,
        FrameIncrementPointer=0x00181063, StartTrim=1, StopTrim=frames, CineRate=25,
        UltrasoundColorDataPresent=1, LossyImageCompression="00", PlanarConfiguration=0,
    )  # fmt: skip
    pixels = np.stack([_sector(seed, rows, columns, frame / frames) for frame in range(frames)])
    _pixels(data_set, pixels, "RGB", stored=8)
    return written(_changed(data_set, changes))


def sample_study(seed: int = 1) -> list[tuple[str, bytes]]:
    """File names and bytes of one study of three series: a CT of 12 slices, a CR and a US cine."""
    files = [(f"ct-{number:02}.dcm", ct_slice(seed, number)) for number in range(1, SLICES + 1)]
    return [*files, ("cr.dcm", cr_image(seed)), ("us.dcm", us_cine(seed))]


def sample_files(seed: int = 1) -> list[tuple[str, bytes]]:
    """The sample study, and one image of every other kind."""
    return [
        *sample_study(seed),
        ("volume.nii", nifti_volume(seed)),
        ("picture.png", png_picture(seed)),
        ("picture.jpg", jpeg_picture(seed)),
        ("picture.gif", gif_picture(seed)),
    ]


def nifti_volume(seed: int = 1, *, size: int = 32) -> bytes:
    """The phantom as an uncompressed NIfTI-1 volume in RAS with 10 mm voxels."""
    slices = [_phantom(seed, size, number / (SLICES - 1)).T for number in range(SLICES)]
    affine = np.diag([-10.0, -10.0, 5.0, 1.0])
    make: Any = nibabel.Nifti1Image  # untyped
    volume = make(np.stack(slices, axis=-1).astype(np.int16), affine)
    return bytes(volume.to_bytes())


def png_picture(seed: int = 1) -> bytes:
    return bytes(imagecodecs.png_encode(_sector(seed, 120, 160, 0.0)))


def jpeg_picture(seed: int = 1) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(_sector(seed, 120, 160, 0.0), level=90))


def gif_picture(seed: int = 1) -> bytes:
    return bytes(imagecodecs.gif_encode(np.ascontiguousarray(_sector(seed, 120, 160, 0.0)[..., 0])))


def written(data_set: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The PS3.10 file of a Data Set whose pixel data is in that transfer syntax already."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    data_set.file_meta = meta
    file = BytesIO()
    dcmwrite(file, data_set, enforce_file_format=True)
    return file.getvalue()


def _values(data_set: Dataset, **values: Any) -> None:
    for keyword, value in values.items():
        setattr(data_set, keyword, value)


def _changed(data_set: Dataset, changes: dict[str, Any]) -> Dataset:
    """The Data Set with these attributes set, or taken out where the value is None."""
    for keyword, value in changes.items():
        if value is None:
            delattr(data_set, keyword)
        else:
            setattr(data_set, keyword, value)
    return data_set


def _patient_and_study(seed: int) -> Dataset:
    data_set = Dataset()
    _values(
        data_set,
        SpecificCharacterSet="ISO_IR 192", PatientName="Phantom^Öl", PatientID=f"PHANTOM-{seed}",
        PatientBirthDate="19700101", PatientSex="O", StudyInstanceUID=uid(seed, "study"), StudyDate=_DATE,
        StudyTime=_TIME, StudyID=str(seed % 10_000), AccessionNumber=f"A{seed}", ReferringPhysicianName="",
        StudyDescription="Phantom",
    )  # fmt: skip
    return data_set


def _series(data_set: Dataset, seed: int, modality: str, number: int, sop_class: str, instance: int) -> None:
    _values(
        data_set,
        SOPClassUID=sop_class, SOPInstanceUID=uid(seed, modality, instance), Modality=modality,
        SeriesInstanceUID=uid(seed, modality), SeriesNumber=number, SeriesDate=_DATE, SeriesTime=_TIME,
        Manufacturer="Isocenter", ManufacturerModelName="Synthetic", DeviceSerialNumber="0",
        SoftwareVersions="1", InstanceNumber=instance, ContentDate=_DATE, ContentTime=_TIME,
        AcquisitionDate=_DATE, AcquisitionTime=_TIME,
    )  # fmt: skip


def _pixels(data_set: Dataset, pixels: NDArray[Any], photometric: str, *, stored: int) -> None:
    colour = photometric == "RGB"
    rows, columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    allocated = 8 * pixels.dtype.itemsize
    _values(
        data_set,
        SamplesPerPixel=3 if colour else 1, PhotometricInterpretation=photometric, Rows=rows, Columns=columns,
        BitsAllocated=allocated, BitsStored=stored, HighBit=stored - 1, PixelRepresentation=0,
    )  # fmt: skip
    data = pixels.tobytes()
    data_set.add_new(0x7FE00010, "OW" if allocated == 16 else "OB", data + b"\0" * (len(data) % 2))


def _phantom(seed: int, size: int, height: float) -> NDArray[Any]:
    """A chest of ellipses in Hounsfield units; `height` from 0 to 1, `seed` moves the nodule."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]

    def ellipse(cx: float, cy: float, rx: float, ry: float) -> NDArray[Any]:
        return np.asarray(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1)

    found = np.full((size, size), _AIR, dtype=np.int32)
    found[ellipse(0, 0, 0.9, 0.65)] = 40
    lung = 0.34 - 0.14 * height
    for side in (-0.42, 0.42):
        found[ellipse(side, -0.02, lung, lung + 0.1)] = -850
    found[ellipse(0.1, -0.15, 0.2, 0.2)] = 60
    found[ellipse(0, 0.45, 0.1, 0.1)] = 700
    found[ellipse(0, 0.45, 0.04, 0.04)] = _WATER
    found[ellipse(-0.42, 0.2 * ((seed * 7 % 11) / 11 - 0.5), 0.05, 0.05)] = 100
    found[ellipse(0.72, -0.35, 0.03 + 0.03 * height, 0.03)] = 1200
    return found


def _sector(seed: int, rows: int, columns: int, phase: float) -> NDArray[Any]:
    y, x = np.mgrid[0 : 1 : rows * 1j, -0.75 : 0.75 : columns * 1j]
    radius, angle = np.hypot(x, y), np.arctan2(x, y)
    inside = (radius < 0.95) & (np.abs(angle) < 0.65)
    speckle = np.random.default_rng(seed).integers(20, 90, (rows, columns))
    grey = np.where(inside, speckle * (1.1 - radius), 0)
    spot = np.hypot(x - 0.3 * np.sin(2 * np.pi * phase), y - 0.55) < 0.06
    found = np.repeat(grey[..., None], 3, axis=2)
    found[spot & inside] = (230, 60, 40)
    return np.ascontiguousarray(found.astype(np.uint8))
