"""What is searched and cleaned byte by byte: identifiers, codestreams, colour profiles, the vault, the manifest."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO
from struct import pack

import imagecodecs
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from PIL import ImageCms
from pydicom import dcmread

from isocenter.adapters.vault import FolderVault
from isocenter.deid import profile as profiles
from isocenter.deid.encrypted import recipient, restored
from isocenter.deid.engine import Deidentifier
from isocenter.deid.icc import cleaned_profile
from isocenter.deid.identifiers import Gathered
from isocenter.deid.manifest import fingerprint, is_genuine, signed
from isocenter.deid.pseudonyms import Pseudonyms
from isocenter.deid.scan import Finder
from isocenter.deid.segments import cleaned
from isocenter.dicom.characters import text_decoder
from isocenter.errors import BadRequest, Corrupted, Malformed
from isocenter.testing.instances import ct_slice


def finder(*names: str, codes: tuple[str, ...] = (), dates: tuple[str, ...] = ()) -> Finder:
    known = Gathered()
    for name in names:
        known.name(name)
    for code in codes:
        known.code(code)
    known.dates.update(dates)
    return Finder(known.known())


@pytest.mark.parametrize(
    ("data", "is_clean"),
    [
        (b"xxKAUFMANxx", False),
        (b"kaufman", False),
        (b"kaufma", True),
        (b"id 6774825273.", False),
        (b"16774825273", True),  # part of a longer number
        (b"1.2.840.6774825273.4", True),  # part of a UID
        (b"20130911", False),
        (b"\0\0" + b"6774825273" + b"\0", False),
        (b"A-1234-X", False),
        (b"a1234x", False),
    ],
)
def test_identifiers_are_found_in_bytes(data, is_clean):
    sought = finder("KAUFMAN^SCOTT", codes=("6774825273", "A-1234-X"), dates=("20130911",))
    assert sought.is_clean(data) is is_clean


def test_short_names_count_as_words_of_their_own_only():
    sought = finder("LEE^AN")
    assert sought.has_alone(b"for Lee, chest")
    assert not sought.has_alone(b"fleece sleeve")
    assert sought.spans("for Lee, sleeve") == [(4, 7)]


def test_names_of_phantoms_and_hospitals_identify_nobody():
    known = Gathered()
    known.name("PHANTOM^TEST")
    known.place("General Hospital of Medical Imaging")
    assert known.known().words == frozenset()


@pytest.mark.parametrize(("text", "spans"), [("Müller", [(0, 6)]), ("MULLER", [(0, 6)]), ("ﬁnd muller", [(0, 10)])])
def test_diacritics_do_not_hide(text, spans):
    assert finder("Müller^X").spans(text) == spans


def test_names_of_a_code_extension_are_kept_as_bytes():
    known = Gathered()
    raw = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
    known.value(0x00100010, "PN", raw, text_decoder(b"\\ISO 2022 IR 87"))
    assert not Finder(known.known()).is_clean(b"xx\x1b$B;3ED\x1b(Bxx")


# ---- codestreams


PICTURE = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.mark.parametrize(
    ("data", "syntax", "at"),
    [
        (bytes(imagecodecs.jpeg8_encode(PICTURE)), "1.2.840.10008.1.2.4.50", 2),
        (bytes(imagecodecs.jpegls_encode(PICTURE)), "1.2.840.10008.1.2.4.80", 2),
    ],
)
def test_comments_anywhere_in_a_jpeg_go(data, syntax, at):
    clean = cleaned(data, syntax)
    comment = b"\xff\xfe" + pack(">H", 14) + b"JOHN DOE 123"
    exif = b"\xff\xe1" + pack(">H", 12) + b"Exif\0\0abcd"
    marked = data[:at] + comment + exif + data[at:] + b"trailing words"
    assert cleaned(marked, syntax) == clean
    assert b"JOHN" not in clean
    assert cleaned(clean, syntax) is clean


def test_comments_of_jpeg_2000_go():
    data = bytes(imagecodecs.jpeg2k_encode(PICTURE, codecformat="j2k", reversible=True))
    clean = cleaned(data, "1.2.840.10008.1.2.4.90")
    siz_end = 4 + int.from_bytes(data[4:6], "big")
    comment = b"\xff\x64" + pack(">HH", 14, 1) + b"JOHN DOE 1"
    marked = data[:siz_end] + comment + data[siz_end:]
    assert cleaned(marked, "1.2.840.10008.1.2.4.90") == clean
    assert b"OpenJPEG" not in clean
    assert (imagecodecs.jpeg2k_decode(clean) == PICTURE).all()


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"no jpeg", b"\xff\xd8\xff\xe1\xff\xff", b"\xff\xd8xx\xff\xd9"])
def test_what_is_no_codestream_is_refused_or_cut_short(data):
    with pytest.raises(Malformed) as caught:
        assert cleaned(data, "1.2.840.10008.1.2.4.50") == data
        raise Malformed("it was left as it is, cut short", code="bad-codestream")
    assert caught.value.code == "bad-codestream"


def test_a_jpeg_xl_container_is_refused():
    with pytest.raises(Malformed, match="container"):
        cleaned(b"\0\0\0\x0cJXL \r\n\x87\n", "1.2.840.10008.1.2.4.110")


# ---- colour profiles


def test_a_colour_profile_keeps_its_colours_and_loses_its_words():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    clean = cleaned_profile(srgb)
    assert clean is not None
    assert b"sRGB" not in clean
    assert cleaned_profile(clean) == clean
    opened = ImageCms.ImageCmsProfile(BytesIO(clean)).profile
    before = ImageCms.ImageCmsProfile(BytesIO(srgb)).profile
    assert opened.red_primary == before.red_primary
    assert opened.xcolor_space == before.xcolor_space


@pytest.mark.parametrize("data", [b"", b"words", bytes(200), bytes(36) + b"acsp" + b"\xff" * 200])
def test_what_is_no_colour_profile_goes(data):
    assert cleaned_profile(data) is None


# ---- manifest and vault


def test_a_manifest_is_genuine_until_anything_in_it_changes():
    manifest = signed({"totals": {"released": 3}, "profile": "tcia"}, b"s" * 32)
    assert is_genuine(json.loads(json.dumps(manifest)))
    assert len(fingerprint(manifest["public_key"])) == 16
    for name in manifest:
        assert not is_genuine({**manifest, name: "changed"})
        assert not is_genuine({key: value for key, value in manifest.items() if key != name})
    assert not is_genuine({**manifest, "more": 1})


def test_a_vault_opens_with_its_key_alone(tmp_path):
    vault = FolderVault(tmp_path, b"k" * 32)
    vault.add([(0x00100010, "Doe^Jane", "PAAA"), (0x00100020, "4711", "PAAA")])
    vault.settle()
    vault.add([(0x00100020, "4711", "PAAA"), (0x00100020, "Ünïcode", "PBBB")])
    vault.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Doe" not in kept
    assert b"PAAA" not in kept
    assert len(list(FolderVault(tmp_path, b"k" * 32).entries())) == 3
    with pytest.raises(Corrupted, match="does not open"):
        list(FolderVault(tmp_path, b"x" * 32).entries())


def pair() -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "recipient")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM), private


def test_what_was_taken_out_comes_back_for_its_recipient_alone():
    certificate, key = pair()
    data = ct_slice(PatientName="QUARLES^ALMA", StudyDescription="her study")
    deidentifier = Deidentifier(profiles.load("basic"), Pseudonyms(b"s" * 32), recipient=recipient(certificate))
    output, _ = deidentifier.deidentify_bytes(data)
    assert b"QUARLES" not in output
    back = restored(output, certificate, key)
    assert dcmread(BytesIO(back)) == dcmread(BytesIO(data))
    with pytest.raises(BadRequest, match="no attributes"):
        restored(output, *pair())
    with pytest.raises(BadRequest, match="no attributes"):
        restored(data, certificate, key)


def test_a_recipient_has_to_have_a_certificate():
    with pytest.raises(BadRequest, match="certificate in PEM"):
        recipient(b"words")
