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
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from cryptography.x509 import Certificate

from isocenter.deid.deface import Defacer, defaced, defacer_of
from isocenter.deid.evidence import Evidence
from isocenter.deid.first_look import told
from isocenter.deid.identifiers import TELLING, Gathered, Known
from isocenter.deid.instance import SOP_CLASS, SOP_INSTANCE, STUDY, Instance, Means, raw_value, uid_value
from isocenter.deid.marks import FACES
from isocenter.deid.pixel_data import Piece, Range
from isocenter.deid.pixels import PixelCleaner
from isocenter.deid.profile import Profile
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.deid.rules import Action, Rules
from isocenter.deid.source import InMemory, Readable, SourceDigest, data_set_reader, header_of, sha256_of, steps
from isocenter.deid.table import table
from isocenter.dicom.characters import text_decoder
from isocenter.dicom.elements import Element, Limits
from isocenter.dicom.iod import Definition, definition_of
from isocenter.dicom.part10 import Header
from isocenter.errors import Unsupported

LOOKED_AT = TELLING | {0x00080005, SOP_INSTANCE, STUDY}
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_HEADS = frozenset(("HEAD", "BRAIN", "SKULL", "FACE", "HEADNECK", "NECK", "ORBIT", "JAW"))
_VOLUMES = frozenset(("CT", "MR", "PT"))
_NAMED = (Action.KEEP, Action.UID)
_UNICODE = text_decoder(b"ISO_IR 192")
_SMALL = 4 << 20  # a larger source is summed up while it is copied, so that it is read once


@dataclass(slots=True)
class Released:
    """A de-identified instance before it is written: its pieces, and evidence that lacks but the checksums."""

    pieces: list[Piece | Iterator[Piece]]
    evidence: Evidence
    identity: list[tuple[int, str, str]]  # tag, what stood there, its pseudonym: for a vault, never for evidence
    source: Readable
    inflated: Readable | None  # the Data Set of a deflated source, which is written deflated too

    def write(self, put: Callable[[bytes | memoryview], object]) -> Evidence:
        """Hand the bytes on, piece by piece; gives the evidence, complete."""
        evidence = self.evidence
        digest = hashlib.sha256()
        size = 0
        with ThreadPoolExecutor(1) if not evidence.source_sha256 else nullcontext() as thread:
            passing = None if thread is None else SourceDigest(self.source, thread)
            for piece in self._bytes(passing):
                digest.update(piece)
                size += len(piece)
                put(piece)
            if passing is not None:
                evidence.source_sha256 = passing.finished()
        evidence.output_sha256, evidence.output_bytes = digest.hexdigest(), size
        return evidence

    def _bytes(self, passing: SourceDigest | None) -> Iterator[bytes | memoryview]:
        if self.inflated is None:
            yield from self._plain(self.source, passing)
            return
        pieces = self._plain(self.inflated, None)
        yield next(pieces)  # preamble and File Meta Information are not deflated
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        for piece in pieces:
            yield deflate.compress(piece)
        yield deflate.flush()

    def _plain(self, source: Readable, passing: SourceDigest | None) -> Iterator[bytes | memoryview]:
        for some in self.pieces:
            for piece in (some,) if isinstance(some, bytes | Range) else some:
                if isinstance(piece, bytes):
                    yield piece
                elif passing is not None:
                    yield from passing.copied(piece.offset, piece.length)
                else:
                    yield from steps(source, piece.offset, piece.length)


class Deidentifier:
    """De-identifies instances by one profile and one project's secret; safe to use from many threads."""

    def __init__(
        self,
        profile: Profile,
        pseudonyms: Pseudonyms,
        *,
        pixels: PixelCleaner | None = None,
        limits: Limits | None = None,
        recipient: Certificate | None = None,
        defacer: Defacer | None = None,
    ) -> None:
        self.profile = profile
        if profile.faces == "deface" and defacer is None:
            defacer = defacer_of(profile.defacer or "")
        self._defacer = defacer
        self._means = Means(Rules(profile), pseudonyms, pixels, limits or Limits(), _listed(profile), recipient)
        self._profile_sha256 = hashlib.sha256(profile.model_dump_json().encode()).hexdigest()

    def deidentify_bytes(self, data: bytes, known: Known | None = None) -> tuple[bytes, Evidence]:
        """A Part 10 file or a bare Data Set, and what else is known of its study. Raises Rejected."""
        released = self.deidentify(InMemory(data), known)
        out: list[bytes | memoryview] = []
        evidence = released.write(out.append)
        return b"".join(out), evidence

    def known_in(self, source: Readable) -> tuple[str, str, Known]:
        """A first look: Study and SOP Instance UID, and what the header says of the people and places of the study."""
        elements = told(source, LOOKED_AT)
        if elements is None:
            elements = header_of(source, self._means.limits).elements
        return uid_value(elements, STUDY), uid_value(elements, SOP_INSTANCE), self._gathered(elements).known()

    def known_in_model(self, model: Mapping[str, Mapping[str, Any]]) -> Known:
        """The same of a header that is at hand in the DICOM JSON model (PS3.18 F.2)."""
        found = Gathered()
        for key, element in model.items():
            tag, vr = int(key, 16), str(element.get("vr", ""))
            if (vr != "PN" and tag not in TELLING) or self._means.rules.rule(tag).action is Action.KEEP:
                continue
            values = element.get("Value", ())
            written = "\\".join("=".join(each.values()) if isinstance(each, dict) else str(each) for each in values)
            if written:
                found.value(tag, vr, written.encode("utf-8", "replace"), _UNICODE)
        return found.known()

    def _gathered(self, elements: Mapping[int, Element]) -> Gathered:
        found = Gathered()
        text = text_decoder(raw_value(elements, 0x00080005) or None)
        for tag, element in elements.items():
            if (element.vr != "PN" and tag not in TELLING) or self._means.rules.rule(tag).action is Action.KEEP:
                continue
            if element.value and isinstance(element.value, bytes):
                found.value(tag, element.vr, element.value, text)
        return found

    def deidentify(self, source: Readable, known: Known | None = None) -> Released:
        """An instance, to be written by the caller. Raises Rejected, with a code, where it may not be released."""
        header = header_of(source, self._means.limits)
        sop_class = uid_value(header.elements, SOP_CLASS) or _meta_uid(header, 0x00020002)
        definition = self._admitted(header, sop_class)
        original = source
        deface = self._defacer if self.profile.faces == "deface" and _shows_a_face(header) else None
        if deface is not None:
            source = defaced(source, header, deface)
        read = data_set_reader(source, header, self._means.limits)
        evidence = Evidence(
            self.profile.name,
            self._profile_sha256,
            table().edition,
            self._means.pseudonyms.check(),
            sop_class_uid=sop_class,
        )
        evidence.source_bytes = source.size
        unnamed = (
            not uid_value(header.elements, SOP_INSTANCE) or self._means.rules.rule(SOP_INSTANCE).action not in _NAMED
        )
        if source.size <= _SMALL or header.encoding.deflated or unnamed or deface is not None:
            evidence.source_sha256 = sha256_of(original)
        evidence.defaced_by = None if deface is None else deface.name
        instance = Instance(self._means, header, read, definition, known or Known(), evidence)
        pieces = instance.pieces()
        inflated = _Reader(read, source.size) if header.encoding.deflated else None
        return Released(pieces, evidence, instance.identity, source, inflated)

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


@dataclass(frozen=True, slots=True)
class _Reader:
    """The Data Set's bytes as something that ranges are read from."""

    read: Callable[[int, int], bytes]
    size: int


def _meta_uid(header: Header, tag: int) -> str:
    element = header.meta.get(tag)
    return element.value.decode("latin-1").strip(" \0") if element and isinstance(element.value, bytes) else ""


def _listed(profile: Profile) -> Known:
    found = Gathered()
    if profile.identifiers.file is not None:
        for line in profile.identifiers.file.read_text("utf-8").splitlines():
            if line.strip():
                found.line(line.strip())
    return found.known()


def _shows_a_face(header: Header) -> bool:
    if uid_value(header.elements, FACES).upper() == "YES":
        return True
    part = uid_value(header.elements, 0x00180015).upper().replace(" ", "")
    return uid_value(header.elements, 0x00080060) in _VOLUMES and (part in _HEADS or not part)
