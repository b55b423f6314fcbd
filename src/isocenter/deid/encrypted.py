"""Encrypted Attributes (PS3.15 E.1.1, PS3.3 C.12.1.1.4.1): what was taken out, for one recipient alone, as CMS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import Encoding as Form
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import (
    PKCS7EnvelopeBuilder,
    PKCS7Options,
    pkcs7_decrypt_der,
)

from isocenter.deid.marks import MARKS
from isocenter.deid.pixel_data import no_icon
from isocenter.deid.source import InMemory, data_set_reader, header_of
from isocenter.dicom.elements import UNDEFINED, Element, Limits
from isocenter.dicom.file_meta import part10_header
from isocenter.dicom.part10 import Header
from isocenter.dicom.recode import Recoder, Source, element_head
from isocenter.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, Encoding
from isocenter.dicom.walk import Walker
from isocenter.errors import BadRequest, Unsupported

ENCRYPTED = 0x04000500
_SYNTAX, _CONTENT, _MODIFIED = 0x04000510, 0x04000520, 0x04000550
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_MOST = 1 << 20  # bytes: identity is short, and pixels are not among it


def recipient(pem: bytes) -> x509.Certificate:
    """A certificate with an RSA key, for whom attributes are encrypted. Raises BadRequest for anything else."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise BadRequest("the recipient's certificate is no X.509 certificate in PEM") from None
    if not isinstance(certificate.public_key(), RSAPublicKey):
        raise BadRequest("the recipient's certificate has to have an RSA key")
    return certificate


def encrypted_attributes(source: Source, tags: Iterable[int], certificate: x509.Certificate) -> Element:
    """The sequence that holds the original values of these top-level attributes, bulk data left out."""
    originals = {
        tag: element
        for tag in sorted(tags)
        if (element := source.elements.get(tag)) is not None and element.value is not None and tag >> 16 != 0x7FE0
    }
    recoder = Recoder(source, implicit=False, icon=no_icon)
    item = b"".join(recoder.item(originals, False))
    if len(item) > _MOST:
        raise Unsupported("what was taken out is too long to be encrypted into the header", code="too-much-identity")
    length = len(item) + 8
    plain = element_head(_MODIFIED, "SQ", length) + b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item
    builder = PKCS7EnvelopeBuilder().set_data(plain).add_recipient(certificate)
    content = builder.set_content_encryption_algorithm(AES256).encrypt(Form.DER, [PKCS7Options.Binary])
    content += b"\0" * (len(content) % 2)
    syntax = EXPLICIT_VR_LITTLE_ENDIAN.encode("ascii")
    inside = {_SYNTAX: Element("UI", syntax, 0, len(syntax)), _CONTENT: Element("OB", content, 0, len(content))}
    return Element("SQ", [inside], 0, UNDEFINED)


def restored(data: bytes, certificate_pem: bytes, private_key_pem: bytes) -> bytes:
    """A de-identified Part 10 file with the attributes put back that were encrypted for this key.

    Raises BadRequest where the file has none, or none for this key.
    """
    limits = Limits(inline_bytes=_MOST * 2)
    header = header_of(InMemory(data), limits)
    originals = _decrypted(header, certificate_pem, private_key_pem, limits)
    implicit = header.transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    if header.encoding.deflated or header.encoding.big_endian:
        raise Unsupported("only little endian files that are not deflated are restored", code="unsupported-encoding")
    read = data_set_reader(InMemory(data), header, limits)
    recoder = Recoder(Source(header.elements, header.encoding, read), implicit=implicit, icon=no_icon)
    changes = {tag: recoder.element(tag, element, header.elements, False) for tag, element in originals.items()}
    marks = {tag: None for tag in (ENCRYPTED, *MARKS) if tag not in originals and tag in header.elements}
    body = b"".join(recoder.rewritten({**changes, **marks}))
    whole = {**header.elements, **originals}
    return part10_header(_text(whole, _SOP_CLASS), _text(whole, _SOP_INSTANCE), header.transfer_syntax_uid) + body


def _decrypted(header: Header, certificate_pem: bytes, private_key_pem: bytes, limits: Limits) -> Mapping[int, Element]:
    sequence = header.elements.get(ENCRYPTED)
    items = sequence.value if sequence is not None and isinstance(sequence.value, list) else []
    try:
        key = load_pem_private_key(private_key_pem, None)
    except (ValueError, TypeError):
        raise BadRequest("the private key is no unencrypted key in PEM") from None
    if not isinstance(key, RSAPrivateKey):
        raise BadRequest("the private key has to be an RSA key")
    for item in items:
        content = item.get(_CONTENT)
        if content is None or not isinstance(content.value, bytes):
            continue
        try:
            plain = pkcs7_decrypt_der(_trimmed(content.value), recipient(certificate_pem), key, [])
        except ValueError:
            continue  # for somebody else
        walker = Walker(Encoding(), 0, limits, [])
        walker.take(plain)
        walker.finish()
        modified = walker.elements.get(_MODIFIED)
        if modified is not None and isinstance(modified.value, list) and modified.value:
            return modified.value[0]
    raise BadRequest("the file holds no attributes encrypted for this key", code="not-for-this-key")


def _trimmed(content: bytes) -> bytes:
    """Without the byte that made its length even: DER says how long it is."""
    if content[1] < 0x80:
        return content[: 2 + content[1]]
    digits = content[1] & 0x7F
    return content[: 2 + digits + int.from_bytes(content[2 : 2 + digits], "big")]


def _text(elements: Mapping[int, Element], tag: int) -> str:
    element = elements.get(tag)
    return element.value.rstrip(b" \0").decode("ascii") if element and isinstance(element.value, bytes) else ""
