"""The port of open studies on DynamoDB."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from isocenter.adapters.aws import keys
from isocenter.adapters.aws.errors import ConditionFailed
from isocenter.adapters.aws.reading import parts
from isocenter.adapters.aws.rows import from_micros, to_micros
from isocenter.adapters.aws.table import Action, Condition, ConditionCheck, Delete, Item, Put, Table
from isocenter.adapters.aws.text import expanded, squeezed
from isocenter.ports.open_studies import OpenStudy

_AT_ONCE = 90


class DynamoOpenStudies:
    """Open studies in one partition: they are those of the last minutes, and few."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def cursor(self) -> int:
        item = self._table.get(keys.FOLLOWED)
        return 0 if item is None else int(item["num"])

    def follow(self, before: int, to: int, opened: Sequence[OpenStudy]) -> bool:
        """More than a transaction takes go in ahead of the cursor: who follows after a crash keeps the same again."""
        there = Condition(f"num = :was{' OR attribute_not_exists(pk)' if before == 0 else ''}", {":was": before})
        latest = {each.study: each for each in opened}  # of several the last one
        some = list(parts(latest.values(), _AT_ONCE)) or [[]]
        pk, sk = keys.FOLLOWED
        moved = Put({"pk": pk, "sk": sk, "num": to}, there)
        for number, part in enumerate(some, start=1):
            first: Action = moved if number == len(some) else ConditionCheck(keys.FOLLOWED, there)
            try:
                self._table.transact([first, *(Put(self._item(each)) for each in part)])
            except ConditionFailed:
                return False
        return True

    def quiet(self, before: datetime, limit: int = 100) -> Sequence[OpenStudy]:
        found = (_open_study(item) for item in self._table.query(keys.OPEN_STUDIES))
        return sorted((each for each in found if each.at < before), key=lambda each: each.at)[: max(0, limit)]

    def close(self, study: OpenStudy) -> None:
        item = self._item(study)
        with suppress(ConditionFailed):
            self._table.write(Delete((item["pk"], item["sk"]), Condition("img = :img", {":img": study.image})))

    def _item(self, study: OpenStudy) -> Item:
        told = squeezed([study.study, study.store, study.image, to_micros(study.at)])
        return {"pk": keys.OPEN_STUDIES, "sk": self._table.named(study.study), "img": study.image, "dat": told}


def _open_study(item: Item) -> OpenStudy:
    study, store, image, at = expanded(item["dat"])
    return OpenStudy(study, store, image, from_micros(at))
