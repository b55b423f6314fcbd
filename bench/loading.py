"""What every server is given before it is read from, and where each piece is found afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.corpus import Corpus, Identity, Template
from bench.encodings import ENCODINGS
from bench.measure import Figures
from bench.servers import Server
from bench.store import Plan, send, store, store_large

CT, SMALL, CR, US, MULTI_FRAME, COMPRESSED, TINY = 1, 2, 3, 4, 5, 10, 1000


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything."""

    cts: int = 1000
    small: int = 100  # a second CT series
    studies: int = 400  # of tiny instances, in two series each
    tiny: int = 50  # to a study
    frames: int = 1200
    compressed: int = 5  # CTs to a transfer syntax


QUICK = Sizes(cts=200, tiny=2, frames=300)


@dataclass(frozen=True)
class Place:
    """Where an instance is found below a base URL."""

    identity: Identity

    @property
    def study(self) -> str:
        return f"/studies/{self.identity.uids[0]}"

    @property
    def series(self) -> str:
        return f"{self.study}/series/{self.identity.uids[1]}"

    @property
    def instance(self) -> str:
        return f"{self.series}/instances/{self.identity.uids[2]}"


@dataclass(frozen=True)
class Archive:
    """The images that a server was given in one run."""

    corpus: Corpus
    sizes: Sizes
    run: int

    def place(self, study: int, number: int = 0, series: int = 0) -> Place:
        return Place(self.identity(study, number, series))

    def identity(self, study: int, number: int = 0, series: int = 0) -> Identity:
        return Identity(self.run, study, 10 * study + series, 10_000 * study + number)

    def ct(self, number: int) -> Place:
        return self.place(CT, number % self.sizes.cts)

    def compressed(self, name: str, number: int) -> Place:
        """A CT in that transfer syntax."""
        at = [encoding.name for encoding in ENCODINGS].index(name)
        return self.place(COMPRESSED + at, number % self.sizes.compressed)

    def tiny(self, study: int) -> Place:
        return self.place(TINY + study % self.sizes.studies)

    def tiny_identities(self) -> list[Identity]:
        sizes = self.sizes
        every = ((study, number) for study in range(sizes.studies) for number in range(sizes.tiny))
        return [self.identity(TINY + study, number, number % 2) for study, number in every]


ALL_TINY = "stow-tiny-all"
# Which work (by the beginning of its name) needs what.
_NEEDS = {
    "ct": ("wado-", "metadata-1", "metadata-2", "rendered-ct", "thumbnail", "explicit-to-"),
    "small": ("qido-instances", "metadata-100"),
    "compressed": ("jpeg-lossless-to-",),
    "cr": ("rendered-cr",),
    "us": ("rendered-us",),
    "multi-frame": ("frame-",),
    "tiny": ("qido-", ALL_TINY),
}


def load(server: Server, archive: Archive, works: Sequence[str], told: Callable[[str], None]) -> list[Figures]:
    """Store what the works need; the tiny instances, being many, count as a measurement."""
    corpus, sizes = archive.corpus, archive.sizes
    found: list[Figures] = []

    def needed(what: str) -> bool:
        return any(name.startswith(beginning) for name in works for beginning in _NEEDS[what])

    def give(what: str, template: Template, study: int, count: int = 1) -> None:
        told(what)
        identities = [archive.identity(study, number) for number in range(count)]
        send(server, Plan("load", what, template, identities, clients=2))

    if needed("ct"):
        give(f"{sizes.cts} CTs", corpus.ct, CT, sizes.cts)
    if needed("small"):
        give(f"{sizes.small} CTs", corpus.ct, SMALL, sizes.small)
    if needed("compressed"):
        for at, encoding in enumerate(ENCODINGS):
            give(f"CTs in {encoding.name}", corpus.compressed(encoding.name), COMPRESSED + at, sizes.compressed)
    if needed("cr"):
        give("a CR", corpus.cr, CR)
    if needed("us"):
        give("a US cine", corpus.us, US)
    if needed("multi-frame"):
        told("a large multi-frame")
        store_large(server, corpus.multi_frame(sizes.frames), archive.identity(MULTI_FRAME), 0)
    if needed("tiny"):
        identities = archive.tiny_identities()
        told(f"{len(identities):,} tiny instances")
        title = f"{len(identities):,} tiny instances, 10 a request, 1 client"
        found.append(store(server, Plan(ALL_TINY, title, corpus.tiny, identities, per_request=10), 0))
    return found
