"""Texts are read in the character set that is declared, and in no other."""

from __future__ import annotations

import pytest

from isocenter.pipeline.validation.character_sets import character_set_of

JAPANESE = b"Yamada^Tarou=" + "山田".encode("iso2022_jp")
KOREAN = b"Hong^Gildong=\x1b$)C" + "홍".encode("euc_kr")


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        (None, b"plain", "plain"),
        (b"ISO_IR 100", "Öl".encode("latin-1"), "Öl"),
        (b"ISO_IR 192", "Öl山".encode(), "Öl山"),
        (b"GB18030", "山".encode("gb18030"), "山"),
        (b"ISO_IR 144", "Люк".encode("iso8859_5"), "Люк"),
        (b"\\ISO 2022 IR 87", JAPANESE, "Yamada^Tarou=山田"),
        (b"\\ISO 2022 IR 149", KOREAN, "Hong^Gildong=홍"),
    ],
)
def test_what_is_declared_is_read(declared: bytes | None, value: bytes, text: str) -> None:
    charset = character_set_of(declared)
    assert charset.fault is None
    assert charset.read(value) == (text, None)


@pytest.mark.parametrize(
    ("declared", "value", "rule"),
    [
        (None, "Öl".encode("latin-1"), "charset-undeclared"),
        (b"ISO_IR 6", "Öl".encode(), "charset-undeclared"),
        (b"ISO_IR 192", "Öl".encode("latin-1"), "charset-undecodable"),
        (b"ISO 2022 IR 6\\ISO 2022 IR 149", JAPANESE, "charset-undecodable"),
        (b"\\ISO 2022 IR 87", b"\xff\xfe", "charset-undecodable"),
        (b"\\ISO 2022 IR 87", b"\x1b", "charset-undecodable"),
    ],
)
def test_what_cannot_be_read(declared: bytes | None, value: bytes, rule: str) -> None:
    assert character_set_of(declared).read(value) == (None, rule)


@pytest.mark.parametrize(
    ("declared", "rule"),
    [
        (b"ISO_IR 999", "charset-unknown"),
        (b"UTF-8", "charset-unknown"),
        (b"ISO_IR 192\\ISO 2022 IR 87", "charset-mixed"),
        (b"ISO_IR 100\\ISO_IR 144", "charset-mixed"),
        (b"ISO 2022 IR 6\\ISO 2022 IR 87", None),
        (b"ISO_IR 100 ", None),
    ],
)
def test_declarations(declared: bytes, rule: str | None) -> None:
    assert character_set_of(declared).fault == rule
