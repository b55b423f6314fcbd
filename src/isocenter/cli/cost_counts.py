"""What the code asks of AWS for one image, counted; `tests/flow/test_cost.py` counts it anew and holds it equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PART: Final = 8 << 20  # a blob up to this size is one PUT, a larger one is put in parts
SENT_PART: Final = 64 << 20  # of an upload session
MOST_ANSWERED: Final = 4_400_000  # bytes; a larger answer leaves by the bucket
MOST_ASKED: Final = 4_500_000  # bytes of a body; a larger one does not fit into an event, and takes an upload session


@dataclass(frozen=True, slots=True)
class Counts:
    """For one image: calls of functions, requests to S3 and DynamoDB, DynamoDB's units and the bytes of its items.

    `copies` are how often we put the image's bytes into a bucket, `sent` whether the client does.
    """

    calls: int = 0
    copies: int = 0
    sent: bool = False
    puts: int = 0  # besides the copies: small objects, lists
    gets: int = 0
    gets_of_parts: int = 0  # besides, where the image is put in parts
    asks: int = 0  # requests to DynamoDB
    writes: int = 0
    reads: int = 0
    items: int = 0

    def put_requests(self, size: int) -> int:
        """PUT, POST and LIST requests of ours for an image of so many bytes."""
        return self.puts + self.copies * puts_of(size)

    def get_requests(self, size: int) -> int:
        """GET and HEAD requests."""
        return self.gets + (self.gets_of_parts if size > PART else 0)


def puts_of(size: int) -> int:
    """Requests that put so many bytes: one, or the parts with their beginning and end."""
    return 1 if size <= PART else -(-size // PART) + 2


# Each is the next image of a series that is known, alone: the first of a study writes some 12 units more, and what
# comes in batches writes less (decision 12).
STORE: Final = Counts(calls=1, copies=1, gets_of_parts=1, asks=4, writes=26, reads=8, items=3_720)
# Begun, and completed; between them the client sends the parts.
SESSION: Final = Counts(
    calls=2, copies=1, sent=True, puts=4, gets=6, gets_of_parts=1, asks=5, writes=32, reads=9, items=4_150
)
# The image, what lies below processed/, a claim, and three listings.
INTAKE: Final = Counts(
    calls=1, copies=2, sent=True, puts=2, gets=7, gets_of_parts=2, asks=14, writes=40, reads=14, items=4_690
)
# The task of its one stage (validate, de-identify) and the end of the job.
STEP: Final = Counts(calls=2, copies=1, gets=1, gets_of_parts=2, asks=26, writes=51, reads=25, items=6_470)
READ: Final = Counts(calls=1, gets=1, asks=3, writes=4, reads=2, items=390)
# Written to the bucket, and fetched from there.
READ_LARGE: Final = Counts(calls=1, copies=1, gets=3, gets_of_parts=1, asks=3, writes=4, reads=2, items=390)
SWEEP: Final = Counts(calls=1, puts=1, asks=9, reads=9)  # with no job, no open study and no webhook

# Events that the raw bucket tells EventBridge of, whether a rule wants them or not: made are the object that was put, a
# claim, the image and what lies below processed/; deleted are the first two.
EVENTS_OF_INTAKE: Final = 6
EVENTS_OF_STORE: Final = 1
# Secrets that a function asks for as it begins.
SECRETS_READ: Final = 5
