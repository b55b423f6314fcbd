"""A new DICOM instance out of a source: RGB pixels of 8 bits, what derived it, and no claim that no longer holds."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from io import BytesIO
from struct import pack
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from isocenter import __version__
from isocenter.algorithms.base import DataSetInput
from isocenter.dicom.file_meta import IMPLEMENTATION_CLASS_UID
from isocenter.dicom.iod import definition_of
from isocenter.errors import LimitExceeded, Malformed

SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
TRUE_COLOR_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7.4"
# Storage classes that hold RGB themselves (PS3.3 A.6, A.7, A.8, A.32): ultrasound and visible light stay what they are.
# Whole slides do not: their tiles and optical paths say more than a derived picture can.
_OWN_COLOUR: Final = frozenset(
    {
        *(
            "1.2.840.10008.5.1.4.1.1.6.1",
            "1.2.840.10008.5.1.4.1.1.3.1",
            SECONDARY_CAPTURE,
            TRUE_COLOR_SECONDARY_CAPTURE,
        ),
        *(f"1.2.840.10008.5.1.4.1.1.77.1.{end}" for end in ("1", "1.1", "2", "2.1", "3", "4", "4.1", "5.1")),
    }
)
_MULTI_FRAME: Final = frozenset(
    {
        *("1.2.840.10008.5.1.4.1.1.3.1", TRUE_COLOR_SECONDARY_CAPTURE),
        *(f"1.2.840.10008.5.1.4.1.1.77.1.{end}" for end in ("1.1", "2.1", "4.1")),
    }
)
# Of group 0028 what still holds: spacing and how it was found, aspect, burned-in annotation, what de-identification did
# to time, lossy compression.
_KEPT_0028: Final = frozenset(
    (
        0x00280030,
        0x00280034,
        0x00280301,
        0x00280302,
        0x00280303,
        0x00280A02,
        0x00280A04,
        0x00282110,
        0x00282112,
        0x00282114,
    )
)
# What told of the source's own making, values and series, or is set anew.
_LEFT_OUT: Final = frozenset(
    {
        *(0x00080008, 0x00080012, 0x00080013, 0x00080014, 0x0008103E, 0x00081140, 0x00082112, 0x00082111, 0x00089215),
        *(0x0018A001, 0x00200011, 0x00209161, 0x00209162, 0x00209163, 0x04000561, 0x04000500, 0xFFFAFFFA, 0x2050_0020),
        *(0x00280008, 0x00280009, 0x00189004, 0x00082218),
    }
)
# Transfer syntaxes that are always lossy; those that may be either are believed to have said so.
_LOSSY: Final = frozenset(f"1.2.840.10008.1.2.4.{end}" for end in ("50", "51", "53", "55", "81"))
_MOST_PIXELS: Final = 512 << 20  # a result is handed over whole
_POINTERS: Final = {"FrameTime": 0x00181063, "FrameTimeVector": 0x00181065}
_IDENTITY_WINDOW: Final = (128, 256)  # LINEAR: level n is shown as n (PS3.3 C.11.2.1.2)


def derived_uid(source_uid: str, name: str, version: str, parameters: Mapping[str, Any]) -> str:
    """A UID under 2.25 (PS3.5 B.2) that follows from what was done to what: done again, it is the same."""
    text = json.dumps([source_uid, name, version, dict(parameters)], sort_keys=True, separators=(",", ":"))
    return f"2.25.{int.from_bytes(hashlib.sha256(b'isocenter derived ' + text.encode()).digest()[:16])}"


def sop_class_for(sop_class_uid: str, frames: int) -> str:
    """The storage class of an RGB image derived from one of this class."""
    if sop_class_uid in _OWN_COLOUR and (frames == 1 or sop_class_uid in _MULTI_FRAME):
        return sop_class_uid
    return SECONDARY_CAPTURE if frames == 1 else TRUE_COLOR_SECONDARY_CAPTURE


def derive(
    source: DataSetInput,
    frames: Iterable[npt.NDArray[np.uint8]],
    *,
    name: str,
    version: str,
    parameters: Mapping[str, Any],
    description: str,
    code: tuple[str, str],
) -> bytes:
    """A PS3.10 file, Explicit VR Little Endian: `frames` are RGB, of one size, in the source's order.

    `description` and `code` (value and meaning) say how it was derived. The same source, version and parameters give
    the same bytes. Raises Malformed where the source has no UIDs, LimitExceeded where the pixels are too large.
    """
    found = _header(source, name, version, parameters, description, code)
    pixels = bytearray()
    shape: tuple[int, ...] | None = None
    for frame in frames:
        shape = frame.shape if shape is None else shape
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != shape:
            raise ValueError("derived frames are RGB of 8 bits and of one size")
        if frame.nbytes * source.count > _MOST_PIXELS:  # told by the first frame, before the others are decoded
            raise LimitExceeded(f"the derived pixels are over {_MOST_PIXELS} bytes", code="algorithm-result-too-large")
        pixels += frame.tobytes()
    if shape is None:
        raise ValueError("derived images have a frame at least")
    if len(pixels) % 2:
        pixels += b"\0"
    found.Rows, found.Columns = shape[:2]
    head = _written(found)
    # Appended, so that the pixels are not copied through one writer after another.
    return b"".join((head, pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, len(pixels)), pixels))


def _header(
    source: DataSetInput,
    name: str,
    version: str,
    parameters: Mapping[str, Any],
    description: str,
    code: tuple[str, str],
) -> Dataset:
    old = source.data_set
    uids = [str(old.get(keyword) or "") for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")]
    if not all(uids):
        raise Malformed("SOPClassUID, SOPInstanceUID or SeriesInstanceUID is missing", code="missing-identifier")
    sop_class = sop_class_for(uids[0], source.count)
    found = _kept(old, sop_class, own=sop_class == uids[0])
    found.SOPClassUID = sop_class
    found.SOPInstanceUID = derived_uid(uids[1], name, version, parameters)
    found.SeriesInstanceUID = derived_uid(uids[2], name, version, parameters)
    found.SeriesNumber = None
    found.SeriesDescription = name
    kinds = [str(each) for each in old.get("ImageType") or ()] if sop_class == uids[0] else []
    found.ImageType = ["DERIVED", "SECONDARY", *kinds[2:]]
    found.DerivationDescription = f"{name} {version}: {description}"[:1024]
    found.DerivationCodeSequence = [_code(code[0], "99ISOCENTER", code[1])]
    found.SourceImageSequence = [_reference(uids[0], uids[1])]
    found.ContributingEquipmentSequence = [*(old.get("ContributingEquipmentSequence") or ()), _equipment(name, version)]
    found.SamplesPerPixel, found.PhotometricInterpretation, found.PlanarConfiguration = 3, "RGB", 0
    found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation = 8, 8, 7, 0
    definition = definition_of(sop_class)
    if definition is not None and definition.type_of([0x00281050]):
        found.WindowCenter, found.WindowWidth = _IDENTITY_WINDOW
    _lossy(found, source.transfer_syntax_uid)
    _for_class(found, old, sop_class, source.count)
    return found


def _kept(old: Dataset, sop_class: str, *, own: bool) -> Dataset:
    """Attributes of the source that the class knows and that still hold; none that is private."""
    definition = definition_of(sop_class)
    found = Dataset()
    for element in old:
        tag = int(element.tag)
        if tag in _LEFT_OUT or element.tag.is_private or not _still_holds(old, tag):
            continue
        if definition is not None and definition.type_of([tag]) is None:
            continue
        found.add(element)
    if not own:
        # Its module is the source's own and would have to be whole.
        for keyword in ("FrameIncrementPointer", "AcquisitionContextSequence", "PresentationLUTShape"):
            if keyword in found:
                delattr(found, keyword)
    return found


def _still_holds(old: Dataset, tag: int) -> bool:
    group = tag >> 16
    if group == 0x0028:
        return tag in _KEPT_0028
    if 0x6000 <= group <= 0x601E and group % 2 == 0:
        # Planes in unused bits of the pixel data went with it; those apart from it lie where they lay.
        return int(old.get((group, 0x0100)).value or 1) == 1 if (group, 0x0100) in old else (group, 0x3000) in old
    return group not in (0x5200, 0x7FE0) and not 0x5000 <= group <= 0x501E


def _for_class(found: Dataset, old: Dataset, sop_class: str, frames: int) -> None:
    """What single classes ask for."""
    captured = sop_class in (SECONDARY_CAPTURE, TRUE_COLOR_SECONDARY_CAPTURE)
    if captured and "ConversionType" not in found:
        found.ConversionType = "WSD"
    if captured and "Modality" not in found:
        found.Modality = "OT"
    if captured and sop_class == TRUE_COLOR_SECONDARY_CAPTURE and not found.get("BurnedInAnnotation"):
        found.BurnedInAnnotation = "YES"  # nobody said that there is none
    if "UltrasoundColorDataPresent" in found:
        found.UltrasoundColorDataPresent = 1
    if "PatientOrientation" not in found:
        found.PatientOrientation = None  # type 2C (PS3.3 C.7.6.1.1.1), asked for where no class says the plane
    if captured and not any(keyword in found for keyword in ("Laterality", "ImageLaterality", "BodyPartExamined")):
        found.Laterality = None  # type 2C too, where it may be a paired part (PS3.3 C.7.3.1)
    if sop_class not in _MULTI_FRAME:
        return
    found.NumberOfFrames = frames
    for keyword, tag in _POINTERS.items():
        if frames > 1 and old.get(keyword) is not None and old.get(keyword) != "":
            found.FrameIncrementPointer = tag
            found[keyword] = old[keyword]
            return
    if frames > 1:
        found.FrameIncrementPointer = 0x00182001
        found.PageNumberVector = list(range(1, frames + 1))


def _lossy(found: Dataset, transfer_syntax_uid: str) -> None:
    """Once lossy, always lossy (PS3.3 C.7.6.1.1.5), also where the source forgot to say so."""
    if transfer_syntax_uid in _LOSSY:
        found.LossyImageCompression = "01"
    if found.get("LossyImageCompression") != "01":
        for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if keyword in found:
                delattr(found, keyword)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    found = Dataset()
    found.CodeValue, found.CodingSchemeDesignator, found.CodeMeaning = value, scheme, meaning
    return found


def _reference(sop_class: str, sop_instance: str) -> Dataset:
    found = Dataset()
    found.ReferencedSOPClassUID, found.ReferencedSOPInstanceUID = sop_class, sop_instance
    found.PurposeOfReferenceCodeSequence = [_code("121322", "DCM", "Source image for image processing operation")]
    found.SpatialLocationsPreserved = "YES"
    return found


def _equipment(name: str, version: str) -> Dataset:
    found = Dataset()
    found.PurposeOfReferenceCodeSequence = [_code("109103", "DCM", "Modifying Equipment")]
    found.Manufacturer, found.ManufacturerModelName = "Isocenter", name
    found.SoftwareVersions = [__version__, version]
    return found


def _written(data_set: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    data_set.file_meta = meta
    file = BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            dcmwrite(file, data_set, enforce_file_format=True)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise Malformed(f"the Data Set cannot be written again ({type(error).__name__})") from None
    return file.getvalue()


def rgb(levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Red, green and blue of grey levels or colours, as a copy to draw on."""
    return np.repeat(levels[..., None], 3, axis=2) if levels.ndim == 2 else np.array(levels)


def described(text: str, parameters: Mapping[str, object]) -> str:
    """What was done, and with which parameters."""
    return ", ".join((text, *(f"{name} {value}" for name, value in parameters.items() if value is not None)))
