"""The results port on DynamoDB: what was said together becomes visible together, by one item."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from uuid import uuid4

from isocenter.adapters.aws.rows import from_micros, to_micros
from isocenter.adapters.aws.table import ABSENT, Item, Key, Put, Table
from isocenter.adapters.aws.text import clean, expanded, squeezed
from isocenter.jobs import Result

_MOST_JOBS = 100


class DynamoResults:
    """What steps said of images.

    Results are written first, under a saying that nobody knows yet; then the saying is listed with its job, all of
    them in one transaction. The order is that of the clocks of those who say it.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def put(self, found: Sequence[Result]) -> None:
        if not found:
            return
        saying = f"{time.time_ns():020d}.{uuid4().hex}"
        # Of several for the same only the last one stands, at the place of the first.
        latest = {(each.job, each.step, each.image): each for each in found}
        by_job: dict[str, list[tuple[str, str]]] = {}
        written: list[Put] = []
        for number, each in enumerate(latest.values()):
            by_job.setdefault(each.job, []).append((each.step, each.image))
            pk, sk = self._of_image(each.image, each.job, each.step, saying)
            told = squeezed([each.job, each.step, each.kind, to_micros(each.at), each.image])
            document = self._table.packed(zlib.compress(each.document))
            written.append(Put({"pk": pk, "sk": sk, "say": saying, "num": number, "tld": told, **document}))
        for start in range(0, len(written), 25):
            self._table.write_all(written[start : start + 25])
        markers = [
            Put({"pk": self._of_job(job), "sk": saying, **self._table.packed(squeezed(said))}, ABSENT)
            for job, said in by_job.items()
        ]
        for start in range(0, len(markers), _MOST_JOBS):
            self._table.transact(markers[start : start + _MOST_JOBS])

    def of_image(self, image: str) -> Sequence[Result]:
        items = list(self._table.query(f"RESULT#{self._table.named(clean(image))}"))
        told = {item["sk"]: expanded(item["tld"]) for item in items}
        known = set(self._table.get_all((self._of_job(told[item["sk"]][0]), item["say"]) for item in items))
        order: dict[tuple[str, str], tuple[str, int]] = {}
        latest: dict[tuple[str, str], Item] = {}
        for item in sorted(items, key=lambda item: (item["say"], item["num"])):
            job, step = told[item["sk"]][:2]
            if (self._of_job(job), item["say"]) in known:
                order.setdefault((job, step), (item["say"], item["num"]))
                latest[job, step] = item
        return [self._result(latest[which]) for which in sorted(order, key=lambda which: order[which])]

    def of_job(self, job: str, *, images: Sequence[str] | None = None) -> Sequence[Result]:
        wanted = None if images is None else {clean(image) for image in images}
        latest: dict[tuple[str, str], str] = {}  # in the order in which they were first said
        for marker in self._table.query(self._of_job(clean(job))):
            for step, image in expanded(self._table.unpacked(marker)):
                if wanted is None or image in wanted:
                    latest[step, image] = marker["sk"]
        at = [self._of_image(image, clean(job), step, saying) for (step, image), saying in latest.items()]
        there = self._table.get_all(at)
        return [self._result(there[key]) for key in at if key in there]

    def _of_job(self, job: str) -> str:
        return f"RESULTS-OF#{self._table.named(job)}"

    def _of_image(self, image: str, job: str, step: str, saying: str) -> Key:
        return (
            f"RESULT#{self._table.named(image)}",
            f"{self._table.named(job)}#{self._table.named(step)}#{saying}",
        )

    def _result(self, item: Item) -> Result:
        job, step, kind, at, image = expanded(item["tld"])
        return Result(image, job, step, kind, zlib.decompress(self._table.unpacked(item)), from_micros(at))
