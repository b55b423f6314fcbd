"""Reads out of a deflated Data Set (PS3.5 A.5) without ever holding the whole of it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from isocenter.errors import Malformed

_STEP = 1 << 20


def inflated_span(chunks: Iterable[bytes], offset: int, length: int) -> bytes:
    """`length` bytes from `offset` of what the deflated `chunks` inflate to."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    wanted = bytearray()
    position = 0
    for chunk in chunks:
        pending = chunk
        while True:
            try:
                data = inflate.decompress(pending, _STEP)
            except zlib.error as error:
                raise Malformed("the deflated Data Set cannot be inflated", code="bad-deflate") from error
            pending = inflate.unconsumed_tail
            if position + len(data) > offset:
                wanted += data[max(0, offset - position) : max(0, offset + length - position)]
            position += len(data)
            if position >= offset + length or inflate.eof:
                return bytes(wanted)
            if not data and not pending:
                break
    return bytes(wanted)
