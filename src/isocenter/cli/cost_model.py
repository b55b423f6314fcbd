"""What a month of Isocenter on AWS costs, line by line, from counts of what the code asks and AWS's prices."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from isocenter.cli import cost_counts as counts
from isocenter.cli.cost_counts import Counts
from isocenter.errors import BadRequest
from isocenter.pipeline.plan import Plan, Plans
from isocenter.pipeline.states import asl

GB: Final = 1 << 30
HOURS: Final = 730  # of a month
SWEEPS: Final = 4_380  # one each ten minutes
POLLS: Final = 657_000  # that Lambda makes of the queue while nothing comes: five pollers, twenty seconds each
KEYS, SECRETS, ALARMS, DASHBOARDS, ENDPOINTS = 1, 5, 37, 1, 5
FREE_CALLS, FREE_GB_SECONDS = 1_000_000, 400_000  # of Lambda, each month
TEMPORARY: Final = 3.5  # GB of /tmp above what is free, of the functions that take in and work on images
STANDARD_MONTHS, FREQUENT_MONTHS, INFREQUENT_MONTHS = 1, 1, 2  # what follows lies in Archive Instant Access
SMALLEST_TIERED: Final = 128 << 10
PLAN: Final = "validate-deidentify"
_EXPRESS_GB: Final = 64 / 1024  # an express execution is paid by blocks of 64 MB
_LOGGED_CALL, _LOGGED_REQUEST = 700, 300  # bytes: START, END, REPORT and our line; API Gateway's line
_SAMPLED: Final = 0.05  # share of requests that X-Ray keeps

Part = Literal["taking in", "de-identifying", "reading", "keeping", "standing"]


@dataclass(frozen=True, slots=True)
class Workload:
    """A month: how many images, how large, how they come and what is done with them; milliseconds are warm ones."""

    images: int
    megabytes: float = 0.5
    reads: float = 1.0  # of each image, over its life
    months: int = 12
    deidentified: float = 1.0  # share of images that are run through the pipeline
    way_in: Literal["bucket", "api"] = "bucket"
    workflow: Literal["express", "standard"] = "express"
    processor: Literal["x86_64", "arm64"] = "x86_64"
    outside: float = 1.0  # share of reads that leave AWS
    cold: float = 0.01  # share of calls that begin with a cold start
    api_ms: int = 60
    session_ms: int = 250
    intake_ms: int = 120
    step_ms: int = 250
    cold_ms: int = 1500
    api_megabytes: int = 1024
    intake_megabytes: int = 1024
    step_megabytes: int = 2048
    provisioned: int = 0
    web_acl: bool = False
    cloudfront: bool = False
    nat: int = 0  # gateways
    zones: int = 0  # that interface endpoints are in; 0: no VPC
    trail: bool = False

    def __post_init__(self) -> None:
        numbers = (self.images, self.megabytes, self.reads, self.provisioned, self.nat, self.zones)
        shares = (self.deidentified, self.outside, self.cold)
        if min(numbers) < 0 or self.months < 1 or not all(0 <= share <= 1 for share in shares):
            raise BadRequest("numbers are 0 or more, months 1 or more, and shares from 0 to 1")

    @property
    def size(self) -> int:
        """Bytes of an image."""
        return round(self.megabytes * 1_000_000)


@dataclass(frozen=True, slots=True)
class Prices:
    """A region's prices, by what is paid for."""

    region: str
    as_of: str
    entries: Mapping[str, Mapping[str, Any]]

    @classmethod
    def load(cls, file: Path | None = None) -> Prices:
        """Those that come with Isocenter (us-east-1), or a file of the same form."""
        shipped = files("isocenter.cli") / "prices" / "us-east-1.json"
        try:
            told = json.loads(shipped.read_text("utf-8") if file is None else file.read_text("utf-8"))
            return cls(told["region"], told["as_of"], told["prices"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadRequest("the file of prices cannot be read, or is not of the form of the one shipped") from error

    def of(self, what: str) -> Mapping[str, Any]:
        if what not in self.entries:
            raise BadRequest(f"the file of prices has none of {what}")
        return self.entries[what]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is paid: how much of it, and what that costs."""

    part: Part
    service: str
    what: str  # key of the price
    amount: float
    unit: str
    dollars: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A month's lines, once as many months have passed as images are kept."""

    workload: Workload
    region: str
    as_of: str
    lines: tuple[Line, ...]

    @property
    def total(self) -> float:
        return sum(line.dollars for line in self.lines)

    @property
    def variable(self) -> float:
        """What grows with images; the rest stands whether anything comes or not."""
        return sum(line.dollars for line in self.lines if line.part != "standing")

    @property
    def per_million(self) -> float | None:
        """Of one million images: taken in, worked on, read, and kept for all their months."""
        return None if self.workload.images == 0 else self.variable / self.workload.images * 1_000_000

    @property
    def idle(self) -> float:
        """What stands, sweep and polling included."""
        return self.total - self.variable

    @property
    def idle_compute(self) -> float:
        """Of that, computing by list price: the sweep, and what is kept warm where it is asked for."""
        return sum(each.dollars for each in self.lines if each.part == "standing" and each.service == "Lambda")

    @property
    def idle_compute_paid(self) -> float:
        """The same after Lambda's free tier, which does not end: the sweep alone lies far below it."""
        standing = [each for each in self.lines if each.part == "standing" and each.service == "Lambda"]
        free = {"requests": FREE_CALLS, "GB-seconds": FREE_GB_SECONDS}
        return sum(
            each.dollars * max(0.0, each.amount - free.get(each.unit, 0)) / each.amount
            for each in standing
            if "provisioned" not in each.what
        ) + sum(each.dollars for each in standing if "provisioned" in each.what)


def transitions(plan: Plan, chunks: int) -> int:
    """State transitions of a job that goes well, counted from its machine: states passed, and those of each chunk."""
    machine = asl(plan)
    states, name, found = machine["States"], machine["StartAt"], 0
    while True:
        state = states[name]
        found += 1
        if state["Type"] == "Map":
            found += chunks * len(state["ItemProcessor"]["States"])
        if state["Type"] in ("Succeed", "Fail"):
            return found
        name = state["Choices"][0]["Next"] if state["Type"] == "Choice" else state["Next"]


def estimate(workload: Workload, prices: Prices) -> Estimate:
    """The month's lines; those of nothing are left out."""
    sums: dict[tuple[Part, str, str], float] = {}
    for part, service, what, amount in _amounts(workload):
        sums[part, service, what] = sums.get((part, service, what), 0) + amount
    lines = []
    for (part, service, what), amount in sums.items():
        price = prices.of(what)
        if amount > 0:
            dollars = amount * price["price"] / price["per"]
            lines.append(Line(part, service, what, amount, price["unit"], dollars))
    return Estimate(workload, prices.region, prices.as_of, tuple(lines))


Amount = tuple[Part, str, str, float]


def _amounts(load: Workload) -> Iterator[Amount]:
    yield from _taking_in(load)
    yield from _deidentifying(load)
    yield from _reading(load)
    yield from _keeping(load)
    yield from _standing(load)


def _of_counts(part: Part, load: Workload, count: Counts, times: float, ms: float, megabytes: int) -> Iterator[Amount]:
    """What each flow pays alike: Lambda, S3's requests, DynamoDB's units, logs, traces."""
    calls = count.calls * times
    seconds = times * ms / 1000 + calls * load.cold * load.cold_ms / 1000
    yield part, "Lambda", "lambda.requests", calls
    yield part, "Lambda", f"lambda.gb_seconds.{load.processor}", seconds * megabytes / 1024
    yield part, "S3", "s3.puts", count.put_requests(load.size) * times
    yield part, "S3", "s3.gets", count.get_requests(load.size) * times
    yield part, "DynamoDB", "dynamodb.writes", count.writes * times
    yield part, "DynamoDB", "dynamodb.reads", count.reads * times
    yield part, "Secrets Manager", "secrets.requests", calls * load.cold * counts.SECRETS_READ
    yield part, "KMS", "kms.requests", calls * load.cold * (counts.SECRETS_READ + 1)
    yield part, "CloudWatch", "logs.written", calls * _LOGGED_CALL / GB
    yield part, "X-Ray", "xray.traces", times * _SAMPLED
    if load.trail:
        requests = count.put_requests(load.size) + count.get_requests(load.size) + count.asks
        yield part, "CloudTrail", "trail.data_events", requests * times


def _requests(part: Part, load: Workload, times: float, sent: float) -> Iterator[Amount]:
    """Requests to the API, of so many bytes each way; API Gateway counts each 512 KB begun."""
    yield part, "API Gateway", "api.requests", times * max(1, -(-sent // (512 << 10)))
    yield part, "CloudWatch", "logs.written", times * _LOGGED_REQUEST / GB
    if load.cloudfront:
        yield part, "CloudFront", "cloudfront.requests", times
    if load.web_acl:
        yield part, "WAF", "waf.requests", times


def _taking_in(load: Workload) -> Iterator[Amount]:
    part: Part = "taking in"
    if load.way_in == "bucket":
        yield from _of_counts(part, load, counts.INTAKE, load.images, load.intake_ms, load.intake_megabytes)
        yield part, "S3", "s3.puts", counts.puts_of(load.size) * load.images  # the client's
        yield part, "EventBridge", "events.published", counts.EVENTS_OF_INTAKE * load.images
        yield part, "SQS", "sqs.requests", 3 * load.images  # sent, received, deleted: a batch of one
        yield part, "Lambda", "lambda.temporary", load.images * load.intake_ms / 1000 * TEMPORARY
        return
    session = load.size > counts.MOST_ASKED
    flow, ms = (counts.SESSION, load.session_ms) if session else (counts.STORE, load.api_ms)
    yield from _of_counts(part, load, flow, load.images, ms, load.api_megabytes)
    yield from _requests(part, load, flow.calls * load.images, 0 if session else load.size)
    if session:
        yield part, "S3", "s3.puts", -(-load.size // counts.SENT_PART) * load.images  # the client's
    yield part, "EventBridge", "events.published", counts.EVENTS_OF_STORE * load.images


def _deidentifying(load: Workload) -> Iterator[Amount]:
    part: Part = "de-identifying"
    times = load.images * load.deidentified
    yield from _of_counts(part, load, counts.STEP, times, load.step_ms, load.step_megabytes)
    yield part, "Lambda", "lambda.temporary", times * load.step_ms / 1000 * TEMPORARY
    if load.workflow == "standard":
        yield part, "Step Functions", "states.transitions", transitions(Plans().load(PLAN), 1) * times
    else:
        yield part, "Step Functions", "states.express.requests", times
        yield part, "Step Functions", "states.express.gb_seconds", times * load.step_ms / 1000 * _EXPRESS_GB


def _reading(load: Workload) -> Iterator[Amount]:
    part: Part = "reading"
    large = load.size > counts.MOST_ANSWERED
    times = load.images * load.reads
    yield from _of_counts(
        part, load, counts.READ_LARGE if large else counts.READ, times, load.api_ms, load.api_megabytes
    )
    yield from _requests(part, load, times, 0 if large else load.size)
    way = "cloudfront.out" if load.cloudfront and not large else "out.internet"
    yield part, "CloudFront" if way == "cloudfront.out" else "Data out", way, times * load.outside * load.size / GB


def _keeping(load: Workload) -> Iterator[Amount]:
    """What lies there in a month once `months` have passed, none of it read again after its first."""
    part: Part = "keeping"
    copies = 1 + load.deidentified
    month = load.images * copies * load.size / GB  # a month's images
    tiered = load.size >= SMALLEST_TIERED
    later = max(0, load.months - STANDARD_MONTHS)
    # What was taken in from incoming/ lies below processed/ for a month besides.
    spent = load.images * load.size / GB if load.way_in == "bucket" else 0
    yield part, "S3", "s3.standard", spent + month * (1 if tiered else load.months)
    if tiered:
        frequent = min(later, FREQUENT_MONTHS)
        infrequent = min(later - frequent, INFREQUENT_MONTHS)
        yield part, "S3", "s3.tiering.frequent", month * frequent
        yield part, "S3", "s3.tiering.infrequent", month * infrequent
        yield part, "S3", "s3.tiering.archive_instant", month * (later - frequent - infrequent)
        yield part, "S3", "s3.monitoring", load.images * copies * later
        yield part, "S3", "s3.transitions", load.images * copies if later else 0
    way_in = counts.INTAKE if load.way_in == "bucket" else counts.STORE
    items = way_in.items + load.deidentified * counts.STEP.items + load.reads * counts.READ.items
    kept = load.images * items * load.months / GB
    yield part, "DynamoDB", "dynamodb.storage", kept
    yield part, "DynamoDB", "dynamodb.recovery", kept


def _standing(load: Workload) -> Iterator[Amount]:
    """What is paid whether anything comes or not."""
    part: Part = "standing"
    sweep = counts.SWEEP
    yield part, "Lambda", "lambda.requests", SWEEPS
    yield (
        part,
        "Lambda",
        f"lambda.gb_seconds.{load.processor}",
        SWEEPS * load.cold_ms / 1000 / 2,
    )  # 512 MB, a cold start
    yield part, "S3", "s3.puts", SWEEPS * sweep.puts
    yield part, "DynamoDB", "dynamodb.reads", SWEEPS * sweep.reads
    yield part, "EventBridge", "events.scheduled", SWEEPS
    yield part, "Secrets Manager", "secrets.requests", SWEEPS * counts.SECRETS_READ
    yield part, "KMS", "kms.requests", SWEEPS * (counts.SECRETS_READ + 1)
    yield part, "SQS", "sqs.requests", POLLS
    yield part, "KMS", "kms.key", KEYS
    yield part, "Secrets Manager", "secrets.secret", SECRETS
    yield part, "CloudWatch", "watch.alarm", ALARMS
    yield part, "CloudWatch", "watch.dashboard", DASHBOARDS
    warm = load.provisioned * load.api_megabytes / 1024 * HOURS * 3600
    yield part, "Lambda", f"lambda.provisioned.{load.processor}", warm
    yield part, "WAF", "waf.acl", 1 if load.web_acl else 0
    yield part, "NAT", "nat.hours", load.nat * HOURS
    yield part, "VPC endpoints", "endpoint.hours", ENDPOINTS * load.zones * HOURS
