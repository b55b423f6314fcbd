"""ICC profiles (ISO 15076-1) with what colours need, without descriptions, copyright, device and date."""

from __future__ import annotations

from struct import pack, unpack_from

_HEADER = 128
_COLOUR_TAGS = frozenset(
    b"rXYZ gXYZ bXYZ rTRC gTRC bTRC kTRC wtpt bkpt chad chrm A2B0 A2B1 A2B2 B2A0 B2A1 B2A2 gamt lumi cicp".split()
)
_TYPES = frozenset(b"XYZ\x20 curv para sf32 mft1 mft2 mAB\x20 mBA\x20 chrm cicp".split(b" ")) | {
    b"XYZ ",
    b"mAB ",
    b"mBA ",
}
_MOST_TAGS = 100


def cleaned_profile(data: bytes) -> bytes | None:
    """A profile of the same colours; None where the bytes are no ICC profile."""
    if len(data) < _HEADER + 4 or data[36:40] != b"acsp":
        return None
    count = unpack_from(">L", data, _HEADER)[0]
    if count > _MOST_TAGS or len(data) < _HEADER + 4 + 12 * count:
        return None
    kept: dict[bytes, bytes] = {}
    for number in range(count):
        signature, offset, size = unpack_from(">4sLL", data, _HEADER + 4 + 12 * number)
        if offset + size > len(data):
            return None
        if signature in _COLOUR_TAGS and data[offset : offset + 4] in _TYPES:
            kept[signature] = data[offset : offset + size]
    kept[b"desc"] = _text("colour")
    kept[b"cprt"] = _text("none")
    return _written(data, kept)


def _written(data: bytes, kept: dict[bytes, bytes]) -> bytes:
    places: dict[bytes, int] = {}
    table, body = [], b""
    start = _HEADER + 4 + 12 * len(kept)
    for signature, content in kept.items():
        if content not in places:
            places[content] = start + len(body)
            body += content + b"\0" * (-len(content) % 4)
        table.append(pack(">4sLL", signature, places[content], len(content)))
    head = bytearray(data[:_HEADER])
    head[0:4] = pack(">L", start + len(body))
    head[4:8] = bytes(4)  # preferred CMM
    head[24:36] = pack(">6H", 2000, 1, 1, 0, 0, 0)  # date and time
    head[40:44] = bytes(4)  # platform
    head[48:56] = bytes(8)  # device manufacturer and model
    head[80:100] = bytes(20)  # creator and profile ID
    head[100:128] = bytes(28)
    return bytes(head) + pack(">L", len(kept)) + b"".join(table) + body


def _text(words: str) -> bytes:
    """multiLocalizedUnicodeType would need version 4; textDescriptionType is read by all."""
    plain = words.encode("ascii") + b"\0"
    return b"desc" + bytes(4) + pack(">L", len(plain)) + plain + bytes(4 + 4 + 2 + 1 + 67)
