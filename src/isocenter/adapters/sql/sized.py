"""Statements over a list of texts, compiled once for a handful of sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import BindParameter, Select, Text, bindparam

from isocenter.adapters.sql.database import Database


class Sized:
    """`statement` makes the selection over so many bound texts, which stand first in it."""

    def __init__(self, database: Database, statement: Callable[[Sequence[BindParameter[str]]], Select[Any]]) -> None:
        self._database = database
        self._statement = statement
        self._compiled: dict[int, str] = {}

    def of(self, texts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """The statement and its values for these texts, of which there is at least one."""
        size = 1 << (len(texts) - 1).bit_length()  # the last one fills up
        statement = self._compiled.get(size)
        if statement is None:
            named = [bindparam(f"text{number}", type_=Text()) for number in range(size)]
            statement = self._compiled[size] = self._database.compiled(self._statement(named))
        return statement, (*texts, *[texts[-1]] * (size - len(texts)))
