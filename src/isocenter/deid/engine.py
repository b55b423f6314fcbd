"""De-identifies one instance (PS3.15 Annex E): bytes in, bytes and evidence out, or a reason why not.

    deidentifier = Deidentifier(profiles.load("tcia"), Pseudonyms(secret))
    output, evidence = deidentifier.deidentify_bytes(data)

Nothing is released in doubt: what cannot be read, placed or checked raises Rejected with a code, and the caller keeps
the instance back. The same bytes, profile and secret give the same output anywhere.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from isocenter.deid.documents import replaced_document
from isocenter.deid.echoes import Echoes
from isocenter.deid.evidence import Evidence
from isocenter.deid.free_text import clean_text
from isocenter.deid.header import HeaderRules, Subject
from isocenter.deid.icc import cleaned_profile
from isocenter.deid.identifiers import Gathered, Known
from isocenter.deid.marks import BURNED_IN, marks
from isocenter.deid.pixel_data import Piece, Range, encapsulated
from isocenter.deid.profile import Profile
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.deid.rules import Action, Rules
from isocenter.deid.scan import Finder
from isocenter.deid.source import InMemory, Readable, data_set_reader, header_of, steps
from isocenter.deid.table import table
from isocenter.dicom.characters import text_decoder
from isocenter.dicom.elements import PIXEL_DATA, PIXEL_TAGS, UNDEFINED, Element, Limits
from isocenter.dicom.file_meta import part10_header
from isocenter.dicom.iod import Definition, definition_of
from isocenter.dicom.part10 import Header
from isocenter.dicom.recode import Recoder, Source, element_head
from isocenter.dicom.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    NATIVE,
)
from isocenter.errors import Rejected, Unsupported

_SOP_CLASS, _SOP_INSTANCE, _STUDY = 0x00080016, 0x00080018, 0x0020000D
_PATIENT_NAME, _PATIENT_ID = 0x00100010, 0x00100020
_DOCUMENT, _ICC = 0x00420011, 0x00282000
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_OVERLAP = 256  # the longest identifier that may lie across two pieces
_HEADS = frozenset(("HEAD", "BRAIN", "SKULL", "FACE", "HEADNECK", "NECK", "ORBIT", "JAW"))
_VOLUMES = frozenset(("CT", "MR", "PT"))


class PixelStage(Protocol):
    """Cleans burned-in text out of pixel data; `deid.pixels` is one."""

    def clean(self, header: Header, read: Callable[[int, int], bytes], known: Known) -> CleanedPixels | None:
        """What takes the place of the pixel data; None where the policy leaves these pixels alone."""
        ...


class CleanedPixels(Protocol):
    """What a pixel stage made."""

    @property
    def changes(self) -> Mapping[int, object]:
        """New elements by tag, PixelData among them unless no pixel changed."""
        ...

    @property
    def evidence(self) -> dict[str, object]: ...


@dataclass(slots=True)
class Released:
    """A de-identified instance before it is written: its pieces, and evidence that lacks but the checksums."""

    pieces: list[Piece | Iterator[bytes]]
    evidence: Evidence
    source: Readable
    deflated: bool

    def write(self, put: Callable[[bytes], object]) -> Evidence:
        """Hand the bytes on, piece by piece; gives the evidence, complete."""
        digest = hashlib.sha256()
        size = 0
        for piece in self._bytes():
            digest.update(piece)
            size += len(piece)
            put(piece)
        self.evidence.output_sha256, self.evidence.output_bytes = digest.hexdigest(), size
        return self.evidence

    def _bytes(self) -> Iterator[bytes]:
        if not self.deflated:
            yield from self._plain()
            return
        pieces = self._plain()
        yield next(pieces)  # preamble and File Meta Information are not deflated
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        for piece in pieces:
            yield deflate.compress(piece)
        yield deflate.flush()

    def _plain(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
            elif isinstance(piece, Range):
                yield from steps(self.source, piece.offset, piece.length)
            else:
                yield from piece


class Deidentifier:
    """De-identifies instances by one profile and one project's secret; safe to use from many threads."""

    def __init__(
        self,
        profile: Profile,
        pseudonyms: Pseudonyms,
        *,
        pixels: PixelStage | None = None,
        limits: Limits | None = None,
        profile_sha256: str | None = None,
    ) -> None:
        self.profile = profile
        self.rules = Rules(profile)
        self.pseudonyms = pseudonyms
        self._pixels = pixels
        self._limits = limits or Limits()
        self._profile_sha256 = profile_sha256 or hashlib.sha256(profile.model_dump_json().encode()).hexdigest()
        self._listed = _listed(profile)
        self._finders: dict[Known, Finder] = {}

    def deidentify_bytes(self, data: bytes, known: Known | None = None) -> tuple[bytes, Evidence]:
        """A Part 10 file or a bare Data Set, and what else is known of its study. Raises Rejected."""
        released = self.deidentify(InMemory(data), known)
        out: list[bytes] = []
        evidence = released.write(out.append)
        return b"".join(out), evidence

    def known_in(self, source: Readable) -> tuple[str, Known]:
        """The study an instance belongs to (its UID), and what its header says of the people and places of it."""
        header = header_of(source, self._limits)
        return _uid(header, _STUDY), self._gathered(header).known()

    def _gathered(self, header: Header) -> Gathered:
        found = Gathered()
        text = text_decoder(_raw(header, 0x00080005) or None)
        for tag, element in header.elements.items():
            named = isinstance(element.value, bytes) and element.value and element.vr in _NAMING
            if named and self.rules.rule(tag).action is not Action.KEEP:
                assert isinstance(element.value, bytes)
                found.value(tag, element.vr, element.value, text)
        return found

    def deidentify(self, source: Readable, known: Known | None = None) -> Released:
        """An instance, to be written by the caller. Raises Rejected, with a code, where it may not be released."""
        header = header_of(source, self._limits)
        sop_class = _uid(header, _SOP_CLASS) or _meta_uid(header, 0x00020002)
        definition = self._admitted(header, sop_class)
        read = data_set_reader(source, header, self._limits)
        evidence = Evidence(
            self.profile.name, self._profile_sha256, table().edition, self.pseudonyms.check(), sop_class_uid=sop_class
        )
        evidence.source_sha256, evidence.source_bytes = _sha256(source), source.size
        job = _Instance(self, header, read, definition, known or Known(), evidence)
        pieces = job.pieces()
        return Released(pieces, evidence, _Reader(read, source.size), header.encoding.deflated)

    def _admitted(self, header: Header, sop_class: str) -> Definition | None:
        if sop_class == _MEDIA_DIRECTORY:
            raise Unsupported(
                "a DICOMDIR lists files by their old names: de-identify the files, and write a new one for them",
                code="file-set-directory",
            )
        definition = definition_of(sop_class)
        if definition is None and sop_class not in self.profile.sop_classes:
            raise Unsupported(
                "SOPClassUID is missing or names no class of the standard, so nobody can say what it holds"
                " (a profile may name it under sop_classes)",
                code="unknown-sop-class",
            )
        if header.encoding.deflated and header.fragments is not None:
            raise Unsupported("a deflated Data Set holds encapsulated pixel data", code="unsupported-encoding")
        if self.profile.faces == "refuse" and _shows_a_face(header):
            raise Unsupported("a volume of the head may show the face", code="recognizable-face")
        return definition

    def finder(self, known: Known) -> Finder:
        found = self._finders.get(known)
        if found is None:
            if len(self._finders) > 64:
                self._finders.clear()
            found = self._finders[known] = Finder(known | self._listed)
        return found

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def pixel_stage(self) -> PixelStage | None:
        return self._pixels


_NAMING = frozenset(("PN", "LO", "SH", "DA", "DT", "UI", "AE", "ST", "LT", "UT", "UC"))


class _Instance:
    """One instance on its way."""

    def __init__(
        self,
        deidentifier: Deidentifier,
        header: Header,
        read: Callable[[int, int], bytes],
        definition: Definition | None,
        known: Known,
        evidence: Evidence,
    ) -> None:
        self._deidentifier = deidentifier
        self._profile = deidentifier.profile
        self._header = header
        self._read = read
        self._definition = definition
        self._known = known
        self._evidence = evidence
        self._syntax = _target(header)
        self._implicit = self._syntax == IMPLICIT_VR_LITTLE_ENDIAN

    def pieces(self) -> list[Piece | Iterator[bytes]]:
        """What the new file is made of."""
        header, deidentifier = self._header, self._deidentifier
        finder = deidentifier.finder(self._known)
        rules = HeaderRules(
            deidentifier.rules,
            deidentifier.pseudonyms,
            self._subject(),
            lambda text, only_known: clean_text(text, finder, only_known=only_known),
            deidentifier.limits,
        )
        changes = rules.changes(header.elements)
        changes |= self._special(changes)
        known = self._known | rules.done.gathered.known()
        pixels, pixel_changes = self._pixel_pieces(known)
        changes |= pixel_changes
        changes |= self._named(changes)
        changes |= marks(self._profile, pixels_cleaned=self._evidence.pixels is not None)
        pieces = self._checked(changes, pixels, Finder(known | deidentifier._listed))
        self._evidence.actions = sorted((*key, count) for key, count in rules.done.actions.items())
        return pieces

    def _subject(self) -> Subject:
        text = text_decoder(_raw(self._header, 0x00080005) or None)
        patient = text.decode(_raw(self._header, _PATIENT_ID), "LO").strip(" \0")
        # Without Patient ID the name has to do; without both, nobody can say that two studies are of one person.
        key = patient or text.decode(_raw(self._header, _PATIENT_NAME), "PN").strip(" \0") or _uid(self._header, _STUDY)
        pseudonyms, dates = self._deidentifier.pseudonyms, self._profile.dates
        days = pseudonyms.days(key, dates.earliest_days, dates.latest_days)
        return Subject(pseudonyms.patient(key), days, self._definition)

    def _named(self, changes: Mapping[int, Element | None]) -> dict[int, Element]:
        """A SOP Instance UID where there is none: a keyed one, of the file's own bytes."""
        if self._new_value(changes, _SOP_INSTANCE):
            return {}
        self._evidence.warnings.append("SOPInstanceUID was missing and was made of the file's checksum")
        raw = self._deidentifier.pseudonyms.uid(self._evidence.source_sha256).encode("ascii")
        return {_SOP_INSTANCE: Element("UI", raw, 0, len(raw))}

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
            raw = self._read(profile.offset, profile.length) if profile.value is None else profile.value
            new = cleaned_profile(raw) if isinstance(raw, bytes) else None
            if new != raw:
                found[_ICC] = None if new is None else Element("OB", new, 0, len(new))
        for tag in (0x7FE00001, 0x7FE00002):
            if tag in elements:
                found[tag] = None  # offset tables: the Basic one, or none, does as well
        return found

    # ---- pixels

    def _pixel_pieces(self, known: Known) -> tuple[list[Piece | Iterator[bytes]], dict[int, Element | None]]:
        stage = self._deidentifier.pixel_stage
        result = None
        if stage is not None:
            result = stage.clean(self._header, self._read, known)
        if result is not None:
            raise NotImplementedError
        stated = _raw(self._header, BURNED_IN).strip(b" \0").upper()
        if stated == b"YES" and any(tag in self._header.elements for tag in PIXEL_TAGS):
            raise Unsupported(
                "BurnedInAnnotation says YES and this profile does not look at pixels (use one that does: tcia)",
                code="burned-in-annotation",
            )
        return self._as_it_lies(), {}

    def _as_it_lies(self) -> list[Piece | Iterator[bytes]]:
        element = self._header.elements.get(PIXEL_DATA)
        if element is None:
            return []
        if element.length == UNDEFINED:
            pieces, self._evidence.codestreams_cleaned = encapsulated(self._header, self._read)
            return pieces
        if self._header.encoding.big_endian:
            return []  # written anew with its words turned round
        head = element_head(PIXEL_DATA, element.vr[:2], element.length + element.length % 2, implicit=self._implicit)
        return [head, Range(element.offset, element.length), b"\0" * (element.length % 2)]

    # ---- putting it together

    def _checked(
        self,
        changes: dict[int, Element | None],
        pixels: list[Piece | Iterator[bytes]],
        finder: Finder,
    ) -> list[Piece | Iterator[bytes]]:
        """The pieces, after the finished bytes have been searched; what echoes identity is taken out, once."""
        before, after = self._rendered(changes, pixels)
        if self._has_any(before, finder) or self._has_any(after, finder):
            changes = self._without_echoes(changes, finder)
            before, after = self._rendered(changes, pixels)
            if not (finder.is_clean(before) and finder.is_clean(after)):
                raise Rejected("an identifier is left in the finished bytes", code="identifier-left")
        self._evidence.looked_for = len(finder)
        self._evidence.scanned_bytes = len(before) + len(after)
        new_uid = self._new_value(changes, _SOP_INSTANCE)
        self._evidence.sop_instance_uid = new_uid
        head = part10_header(self._evidence.sop_class_uid, new_uid, self._syntax)
        if self._header.encoding.deflated:
            return [head, before, *pixels, after]
        return [head + before, *pixels, after]

    def _has_any(self, data: bytes, finder: Finder) -> bool:
        return not finder.is_clean(data) or finder.has_alone(data)

    def _without_echoes(self, changes: dict[int, Element | None], finder: Finder) -> dict[int, Element | None]:
        effective = {tag: element for tag, element in self._header.elements.items() if tag not in changes}
        effective |= {tag: element for tag, element in changes.items() if element is not None}
        echoes = Echoes(finder, self._deidentifier.pseudonyms.uid, self._definition)
        cleaned = echoes.cleaned(dict(sorted(effective.items())))
        new = {tag: cleaned.get(tag) for tag, element in effective.items() if cleaned.get(tag) is not element}
        self._evidence.echoes = sorted(echoes.found.items())
        return changes | new

    def _rendered(
        self, changes: Mapping[int, Element | None], pixels: list[Piece | Iterator[bytes]]
    ) -> tuple[bytes, bytes]:
        """The Data Set before and after its pixel data, as bytes."""
        header = self._header
        recoder = Recoder(Source(header.elements, header.encoding, self._read), implicit=self._implicit, icon=_no_icon)
        given = {
            tag: None if element is None else recoder.element(tag, element, header.elements, False)
            for tag, element in changes.items()
            if element is not None or tag in header.elements
        }
        if pixels:
            given[PIXEL_DATA] = iter((_HERE,))
        before: list[bytes] = []
        after: list[bytes] = []
        into = before
        for piece in recoder.rewritten(given):
            if piece is _HERE:
                into = after
            else:
                into.append(piece)
        return b"".join(before), b"".join(after)

    def _new_value(self, changes: Mapping[int, Element | None], tag: int) -> str:
        element = changes.get(tag, self._header.elements.get(tag))
        raw = element.value if element is not None else None
        return raw.rstrip(b" \0").decode("ascii", "replace") if isinstance(raw, bytes) else ""


_HERE = bytes(bytearray(b"pixels"))  # an object of its own: where the pixel data goes


@dataclass(frozen=True, slots=True)
class _Reader:
    """The Data Set's bytes as something that ranges are read from."""

    read: Callable[[int, int], bytes]
    size: int


def _no_icon(siblings: Mapping[int, Element], element: Element) -> bytes:
    raise Unsupported("an item of a sequence holds compressed pixels", code="nested-pixel-data")


def _target(header: Header) -> str:
    """The transfer syntax of the output: the source's own, by how it is really encoded; never big endian."""
    syntax = header.transfer_syntax_uid
    if syntax not in NATIVE or header.encoding.deflated:
        return syntax
    return IMPLICIT_VR_LITTLE_ENDIAN if header.encoding.implicit else EXPLICIT_VR_LITTLE_ENDIAN


def _raw(header: Header, tag: int) -> bytes:
    element = header.elements.get(tag)
    return element.value if element is not None and isinstance(element.value, bytes) else b""


def _uid(header: Header, tag: int) -> str:
    return _raw(header, tag).decode("latin-1").strip(" \0")


def _meta_uid(header: Header, tag: int) -> str:
    element = header.meta.get(tag)
    return element.value.decode("latin-1").strip(" \0") if element and isinstance(element.value, bytes) else ""


def _sha256(source: Readable) -> str:
    digest = hashlib.sha256()
    for piece in steps(source, 0, source.size):
        digest.update(piece)
    return digest.hexdigest()


def _listed(profile: Profile) -> Known:
    found = Gathered()
    if profile.identifiers.file is not None:
        for line in profile.identifiers.file.read_text("utf-8").splitlines():
            if line.strip():
                found.line(line.strip())
    return found.known()


def _shows_a_face(header: Header) -> bool:
    part = _uid(header, 0x00180015).upper().replace(" ", "")
    return _uid(header, 0x00080060) in _VOLUMES and (part in _HEADS or not part)
