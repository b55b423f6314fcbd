"""One instance on its way through de-identification: its header by rules, its pixels by policy, its bytes searched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from cryptography.x509 import Certificate

from isocenter.deid.documents import replaced_document
from isocenter.deid.echoes import Echoes
from isocenter.deid.encrypted import ENCRYPTED, encrypted_attributes
from isocenter.deid.evidence import Evidence
from isocenter.deid.free_text import clean_text
from isocenter.deid.header import HeaderRules, Subject
from isocenter.deid.icc import cleaned_profile
from isocenter.deid.identifiers import Known
from isocenter.deid.marks import BURNED_IN, marks
from isocenter.deid.pixel_data import Piece, Range, encapsulated, no_icon, without_overlay_bits
from isocenter.deid.pixels import PixelCleaner
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.deid.rules import Rules
from isocenter.deid.scan import Finder, Windows
from isocenter.dicom.characters import text_decoder
from isocenter.dicom.data_set import DataSet
from isocenter.dicom.elements import PIXEL_DATA, PIXEL_TAGS, UNDEFINED, Element, Limits
from isocenter.dicom.file_meta import part10_header
from isocenter.dicom.iod import Definition
from isocenter.dicom.json_model import encode
from isocenter.dicom.part10 import Header
from isocenter.dicom.recode import Recoder, Source, element_bytes, element_head
from isocenter.dicom.transcode import native_pixels
from isocenter.dicom.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    NATIVE,
)
from isocenter.errors import Rejected, Unsupported

SOP_CLASS, SOP_INSTANCE, STUDY, _SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
_PATIENT_NAME, _PATIENT_ID = 0x00100010, 0x00100020
_DOCUMENT, _ICC, _BITS_ALLOCATED = 0x00420011, 0x00282000, 0x00280100
# What pixel policies are decided by: a mask's device, the modality, and what the instance says of itself.
POLICY_TAGS = (
    0x00080008, 0x00080016, 0x00080060, 0x00080070, 0x00081090, 0x00181020, 0x00186011, 0x00280008, 0x00280010,
    0x00280011, 0x00280301, *PIXEL_TAGS,
)  # fmt: skip
Changes = Mapping[int, Element | None]
Rewritten = dict[int, bytes | None]  # whole elements, as they are written
_LARGEST_ICC = 8 << 20
_KEPT = 4 << 20  # bytes without pixels: more are rendered a second time sooner than kept
_HERE = bytes(bytearray(b"pixels"))  # an object of its own: where the pixel data goes


@dataclass(frozen=True, slots=True)
class Means:
    """What instances are de-identified with: the same for all of a batch."""

    rules: Rules
    pseudonyms: Pseudonyms
    pixels: PixelCleaner | None
    limits: Limits
    listed: Known  # identifiers that the profile names
    recipient: Certificate | None = None  # for whom what is taken out is put in, encrypted


@dataclass(frozen=True, slots=True)
class _Searched:
    """A Data Set that was searched, and its bytes before and after the pixel data; None where they are too many."""

    windows: Windows
    parts: list[list[bytes]] | None


class Instance:
    """One instance on its way."""

    def __init__(
        self,
        means: Means,
        header: Header,
        read: Callable[[int, int], bytes],
        definition: Definition | None,
        known: Known,
        evidence: Evidence,
    ) -> None:
        self._means = means
        self._profile = means.rules.profile
        self._header = header
        self._read = read
        self._definition = definition
        self._known = known
        self._evidence = evidence
        self._syntax = _target(header)
        self._implicit = self._syntax == IMPLICIT_VR_LITTLE_ENDIAN
        self._rewritten: Rewritten = {}
        self.identity: list[tuple[int, str, str]] = []

    def pieces(self) -> list[Piece | Iterator[Piece]]:
        """What the new file is made of."""
        header, means = self._header, self._means
        finder = Finder(self._known | means.listed)
        rules = HeaderRules(
            means.rules,
            means.pseudonyms,
            self._subject(),
            lambda text, only_known: clean_text(text, finder, only_known=only_known),
            means.limits,
        )
        changes = rules.changes(header.elements)
        changes |= self._special(changes)
        known = self._known | rules.done.gathered.known()
        pixels, self._rewritten = self._pixel_pieces(known)
        if means.recipient is not None:
            source = Source(header.elements, header.encoding, self._read)
            changes[ENCRYPTED] = encrypted_attributes(source, changes, means.recipient)
        changes |= self._named(changes)
        done = self._evidence.pixels
        is_read, is_cut = bool(done and done["frames_read"]), bool(done and done["cuts"])
        defaced = self._evidence.defaced_by is not None
        changes |= marks(self._profile, pixels_cleaned=is_read or is_cut, pixels_read=is_read, defaced=defaced)
        pieces = self._checked(changes, pixels, Finder(known | means.listed))
        self.identity = rules.done.identity
        self._evidence.actions = sorted((*key, count) for key, count in rules.done.actions.items())
        return pieces

    def _subject(self) -> Subject:
        text = text_decoder(raw_value(self._header.elements, 0x00080005) or None)
        patient = text.decode(raw_value(self._header.elements, _PATIENT_ID), "LO").strip(" \0")
        # Without Patient ID the name has to do; without both, nobody can say that two studies are of one person.
        key = (
            patient
            or text.decode(raw_value(self._header.elements, _PATIENT_NAME), "PN").strip(" \0")
            or uid_value(self._header.elements, STUDY)
        )
        pseudonyms, dates = self._means.pseudonyms, self._profile.dates
        days = pseudonyms.days(key, dates.earliest_days, dates.latest_days)
        self._evidence.patient = pseudonyms.patient(key)
        return Subject(self._evidence.patient, days, self._definition)

    def _named(self, changes: Mapping[int, Element | None]) -> dict[int, Element]:
        """A SOP Instance UID where there is none: a keyed one, of the file's own bytes."""
        if self._new_value(changes, SOP_INSTANCE):
            return {}
        self._evidence.warnings.append("SOPInstanceUID was missing and was made of the file's checksum")
        raw = self._means.pseudonyms.uid(self._evidence.source_sha256).encode("ascii")
        return {SOP_INSTANCE: Element("UI", raw, 0, len(raw))}

    # ---- values that are neither text nor pixels

    def _special(self, changes: Mapping[int, Element | None]) -> dict[int, Element | None]:
        elements = self._header.elements
        found: dict[int, Element | None] = {0xFFFCFFFC: None} if 0xFFFCFFFC in elements else {}
        if _DOCUMENT in elements:
            if self._profile.documents == "refuse":
                raise Unsupported(
                    "an encapsulated document may say anything (a profile may replace it: documents: replace)",
                    code="encapsulated-document",
                )
            found |= replaced_document(elements)
        if _ICC in elements and changes.get(_ICC, elements[_ICC]) is not None:
            profile = elements[_ICC]
            # One larger than any that a device writes is no profile, and goes.
            small = profile.length <= _LARGEST_ICC
            raw = self._read(profile.offset, profile.length) if profile.value is None and small else profile.value
            new = cleaned_profile(raw) if isinstance(raw, bytes) else None
            if new is None or new != raw:
                found[_ICC] = None if new is None else Element("OB", new, 0, len(new))
        for tag in (0x7FE00001, 0x7FE00002):
            if tag in elements:
                found[tag] = None  # offset tables: the Basic one, or none, does as well
        return found

    # ---- pixels

    def _pixel_pieces(self, known: Known) -> tuple[list[Piece | Iterator[Piece]], Rewritten]:
        """The pieces of PixelData, and what becomes of other elements where pixels were made anew."""
        elements = self._header.elements
        cleaner = self._means.pixels
        if not any(tag in elements for tag in PIXEL_TAGS):
            return [], {}
        if cleaner is not None and cleaner.needs(self._looked_at()):
            result = cleaner.clean(self._header, self._read, known)
            self._evidence.pixels = None if result is None else result.evidence
            if result is not None and PIXEL_DATA in result.changes:
                self._syntax = result.transfer_syntax_uid
                if self._syntax == IMPLICIT_VR_LITTLE_ENDIAN:
                    self._syntax = EXPLICIT_VR_LITTLE_ENDIAN  # as which the cleaner writes
                self._implicit = False
                others = {
                    tag: None if new is None else b"".join(new)
                    for tag, new in result.changes.items()
                    if tag != PIXEL_DATA
                }
                return [iter(result.changes[PIXEL_DATA] or ())], others
        elif raw_value(self._header.elements, BURNED_IN).strip(b" \0").upper() == b"YES":
            raise Unsupported(
                "BurnedInAnnotation says YES and this profile does not look at pixels (use one that does: tcia)",
                code="burned-in-annotation",
            )
        return self._as_it_lies(), {}

    def _looked_at(self) -> DataSet:
        elements = {tag: self._header.elements[tag] for tag in POLICY_TAGS if tag in self._header.elements}
        return DataSet(encode(elements, big_endian=self._header.encoding.big_endian).model)

    def _as_it_lies(self) -> list[Piece | Iterator[Piece]]:
        element = self._header.elements.get(PIXEL_DATA)
        if element is None:
            return []
        if element.length == UNDEFINED:
            if self._bits_with_overlays() is not None:
                raise Unsupported("overlays lie in compressed pixel data", code="embedded-overlay")
            pieces, self._evidence.codestreams_cleaned = encapsulated(self._header, self._read)
            return pieces
        if self._header.encoding.big_endian:
            bits = int.from_bytes(raw_value(self._header.elements, _BITS_ALLOCATED)[:2], "big")
            source = Source(self._header.elements, self._header.encoding, self._read)
            return [native_pixels(source, PIXEL_DATA, element, bits, self._implicit)]
        head = element_head(PIXEL_DATA, element.vr[:2], element.length + element.length % 2, implicit=self._implicit)
        pad = b"\0" * (element.length % 2)
        overlaid = self._bits_with_overlays()
        if overlaid is not None:
            return [head, without_overlay_bits(self._read, element.offset, element.length, *overlaid), pad]
        return [head, Range(element.offset, element.length), pad]

    def _bits_with_overlays(self) -> tuple[int, int, int] | None:
        """Bits Allocated, Bits Stored and High Bit, where overlays lie in the bits above; None where none do."""
        elements = self._header.elements
        planes = (tag for tag in elements if tag >> 24 == 0x60 and tag & 0xFFFF == 0x0102)
        if not any(any(raw_value(self._header.elements, tag)) for tag in planes):
            return None
        allocated, stored, high = (
            int.from_bytes(raw_value(self._header.elements, tag)[:2], "little")
            for tag in (_BITS_ALLOCATED, 0x00280101, 0x00280102)
        )
        if allocated not in (8, 16, 32) or not 0 < stored <= high + 1 <= allocated:
            raise Unsupported("overlays lie in pixel data whose bits nobody can tell apart", code="embedded-overlay")
        return allocated, stored, high

    # ---- putting it together

    def _checked(
        self,
        changes: dict[int, Element | None],
        pixels: list[Piece | Iterator[Piece]],
        finder: Finder,
    ) -> list[Piece | Iterator[Piece]]:
        """The pieces, after the finished bytes have been searched; what echoes identity is taken out, once."""
        found = self._searched(changes, pixels, Windows(finder, alone=True))
        if not found.windows.is_clean:
            changes = self._without_echoes(changes, finder)
            found = self._searched(changes, pixels, Windows(finder, alone=False))
            if not found.windows.is_clean:
                raise Rejected("an identifier is left in the finished bytes", code="identifier-left")
        self._evidence.looked_for = len(finder)
        self._evidence.scanned_bytes = found.windows.size
        new_uid = self._new_value(changes, SOP_INSTANCE)
        self._evidence.sop_instance_uid = new_uid
        self._evidence.study_instance_uid = self._new_value(changes, STUDY)
        self._evidence.series_instance_uid = self._new_value(changes, _SERIES)
        head = part10_header(self._evidence.sop_class_uid, new_uid, self._syntax)
        if found.parts is None:
            return [head, self._written(changes, pixels)]
        before, after = map(b"".join, found.parts)
        if self._header.encoding.deflated:
            return [head, before, *pixels, after]
        return [head + before, *pixels, after]

    def _without_echoes(self, changes: dict[int, Element | None], finder: Finder) -> dict[int, Element | None]:
        effective = {tag: element for tag, element in self._header.elements.items() if tag not in changes}
        effective |= {tag: element for tag, element in changes.items() if element is not None}
        echoes = Echoes(finder, self._means.pseudonyms.uid, self._definition)
        cleaned = echoes.cleaned(dict(sorted(effective.items())))
        new = {tag: cleaned.get(tag) for tag, element in effective.items() if cleaned.get(tag) is not element}
        self._evidence.echoes = sorted(echoes.found.items())
        return changes | new

    def _searched(self, changes: Changes, pixels: list[Piece | Iterator[Piece]], windows: Windows) -> _Searched:
        """Render the Data Set and search it on the way; what is rendered is kept where it is small."""
        parts: list[list[bytes]] | None = [[], []]
        into = 0
        for piece in self._rendered(changes, pixels):
            if piece is _HERE:
                windows.end()
                into = 1
                continue
            windows.take(piece)
            if windows.size > _KEPT:
                parts = None
            elif parts is not None:
                parts[into].append(piece)
        windows.end()
        return _Searched(windows, parts)

    def _written(self, changes: Changes, pixels: list[Piece | Iterator[Piece]]) -> Iterator[Piece]:
        """The Data Set rendered once more, where it was too large to be kept."""
        for piece in self._rendered(changes, pixels):
            if piece is not _HERE:
                yield piece
                continue
            for some in pixels:
                yield from (some,) if isinstance(some, bytes | Range) else some

    def _rendered(self, changes: Changes, pixels: list[Piece | Iterator[Piece]]) -> Iterator[bytes]:
        """The Data Set as bytes, `_HERE` in the place of its pixel data."""
        header = self._header
        recoder = Recoder(Source(header.elements, header.encoding, self._read), implicit=self._implicit, icon=no_icon)
        given: dict[int, Iterable[bytes] | None] = {}
        for tag, element in changes.items():
            if element is None:
                given[tag] = None
            elif isinstance(element.value, bytes) and len(element.vr) == 2 and not header.encoding.big_endian:
                given[tag] = (element_bytes(tag, element.vr, element.value, implicit=self._implicit),)
            else:
                given[tag] = recoder.element(tag, element, header.elements, False)
        given |= {tag: new if new is None else (new,) for tag, new in self._rewritten.items()}
        if pixels:
            given[PIXEL_DATA] = (_HERE,)
        return recoder.rewritten(given)

    def _new_value(self, changes: Mapping[int, Element | None], tag: int) -> str:
        element = changes.get(tag, self._header.elements.get(tag))
        raw = element.value if element is not None else None
        return raw.rstrip(b" \0").decode("ascii", "replace") if isinstance(raw, bytes) else ""


def _target(header: Header) -> str:
    """The transfer syntax of the output: the source's own, by how it is really encoded; never big endian."""
    syntax = header.transfer_syntax_uid
    if syntax not in NATIVE or header.encoding.deflated:
        return syntax
    return IMPLICIT_VR_LITTLE_ENDIAN if header.encoding.implicit else EXPLICIT_VR_LITTLE_ENDIAN


def raw_value(elements: Mapping[int, Element], tag: int) -> bytes:
    element = elements.get(tag)
    return element.value if element is not None and isinstance(element.value, bytes) else b""


def uid_value(elements: Mapping[int, Element], tag: int) -> str:
    return raw_value(elements, tag).decode("latin-1").strip(" \0")
