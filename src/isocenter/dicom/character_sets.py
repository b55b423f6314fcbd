"""Defined terms of Specific Character Set (PS3.3 C.12.1.1.2) and text with code extensions (PS3.5 6.1.2.5)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

_DEFAULT: Final = "iso8859"
_PAIRS: Final = {
    "13": "shift_jis", "100": "latin_1", "101": "iso8859_2", "109": "iso8859_3", "110": "iso8859_4",
    "126": "iso_ir_126", "127": "iso_ir_127", "138": "iso_ir_138", "144": "iso_ir_144", "148": "iso_ir_148",
    "166": "iso_ir_166",
}  # fmt: skip

# Python's codec for each term; the default repertoire is read as Latin-1, as writers mean it.
CODECS: Final[dict[str, str]] = {
    "": _DEFAULT, "ISO_IR 6": _DEFAULT, "ISO 2022 IR 6": _DEFAULT,
    **{f"ISO_IR {number}": codec for number, codec in _PAIRS.items()},
    **{f"ISO 2022 IR {number}": codec for number, codec in _PAIRS.items()},
    "ISO 2022 IR 58": "iso_ir_58", "ISO 2022 IR 87": "iso2022_jp", "ISO 2022 IR 149": "euc_kr",
    "ISO 2022 IR 159": "iso2022_jp_2", "ISO_IR 192": "UTF8", "GB18030": "GB18030", "GBK": "GBK",
    "ISO 2022 GBK": "GBK", "ISO 2022 58": "GB2312",  # these two are no terms of the standard, but are met
}  # fmt: skip

ESCAPE: Final = b"\x1b"
# Escape sequences and what they designate (PS3.3 tables C.12-3 and C.12-4).
DESIGNATED: Final[dict[bytes, str]] = {
    b"\x1b(B": _DEFAULT, b"\x1b-A": "latin_1", b"\x1b)I": "shift_jis", b"\x1b(J": "shift_jis",
    b"\x1b$B": "iso2022_jp", b"\x1b-B": "iso8859_2", b"\x1b-C": "iso8859_3", b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso_ir_126", b"\x1b-G": "iso_ir_127", b"\x1b-H": "iso_ir_138", b"\x1b-L": "iso_ir_144",
    b"\x1b-M": "iso_ir_148", b"\x1b-T": "iso_ir_166", b"\x1b$)C": "euc_kr", b"\x1b$(D": "iso2022_jp_2",
    b"\x1b$)A": "iso_ir_58",
}  # fmt: skip
_READ_ESCAPES: Final = frozenset(("iso2022_jp", "iso2022_jp_2", "iso_ir_58"))  # codecs that take the sequence itself
_RUNS: Final = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")


def read_extended(value: bytes, codecs: Sequence[str], delimiters: Collection[int]) -> str:
    """Text in which escape sequences designate one of `codecs`; the first is the one in force at the beginning and
    after each of `delimiters`. Bytes that do not fit become U+FFFD.

    LookupError where the first is no codec of Python.
    """
    if ESCAPE not in value:
        return value.decode(codecs[0], "replace")
    return "".join(_run(run, codecs, delimiters) for run in _RUNS.findall(value))


def _run(run: bytes, codecs: Sequence[str], delimiters: Collection[int]) -> str:
    """Bytes up to the next escape sequence."""
    try:
        if run.startswith(ESCAPE):
            sequence = run[: 4 if run.startswith((b"\x1b$(", b"\x1b$)")) else 3]
            codec = DESIGNATED.get(sequence, "")
            if codec in _READ_ESCAPES and codec in codecs:
                return run.decode(codec)
            if codec == _DEFAULT or codec in codecs:
                text = run[len(sequence) :]
                end = next((place for place, byte in enumerate(text) if byte in delimiters), len(text))
                return text[:end].decode(codec) + text[end:].decode(codecs[0])
        return run.decode(codecs[0])
    except UnicodeError:
        return run.decode(codecs[0], "replace")
