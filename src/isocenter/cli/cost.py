"""`isocenter cost`: what a month on AWS costs, line by line, from AWS's published prices."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from isocenter.cli.cost_model import Estimate, Prices, Workload, estimate


class WayIn(StrEnum):
    BUCKET = "bucket"
    API = "api"


class Machines(StrEnum):
    EXPRESS = "express"
    STANDARD = "standard"


class Processor(StrEnum):
    X86_64 = "x86_64"
    ARM64 = "arm64"


_DEFAULT = Workload(0)


def cost(
    images: Annotated[int, typer.Option(min=0, help="Images a month.")],
    size: Annotated[float, typer.Option(min=0, help="Megabytes of one.")] = _DEFAULT.megabytes,
    reads: Annotated[float, typer.Option(min=0, help="How often each is read in all.")] = _DEFAULT.reads,
    months: Annotated[int, typer.Option(min=1, help="Months for which each is kept.")] = _DEFAULT.months,
    deidentified: Annotated[float, typer.Option(min=0, max=1, help="Share that is de-identified.")] = 1.0,
    by: Annotated[WayIn, typer.Option(help="How images come in.")] = WayIn.BUCKET,
    workflow: Annotated[Machines, typer.Option(help="State machines that bring the tasks.")] = Machines.EXPRESS,
    processor: Annotated[Processor, typer.Option(help="Processor of the functions.")] = Processor.X86_64,
    outside: Annotated[float, typer.Option(min=0, max=1, help="Share of reads that leave AWS.")] = 1.0,
    cold: Annotated[float, typer.Option(min=0, max=1, help="Share of calls that are cold starts.")] = _DEFAULT.cold,
    api_ms: Annotated[int, typer.Option(min=1, help="Milliseconds of a request, warm.")] = _DEFAULT.api_ms,
    intake_ms: Annotated[int, typer.Option(min=1, help="Of taking in an object.")] = _DEFAULT.intake_ms,
    step_ms: Annotated[int, typer.Option(min=1, help="Of de-identifying an image.")] = _DEFAULT.step_ms,
    api_memory: Annotated[int, typer.Option(min=128, max=10240, help="Megabytes of the API.")] = 1024,
    step_memory: Annotated[int, typer.Option(min=128, max=10240, help="Megabytes of steps.")] = 2048,
    provisioned: Annotated[int, typer.Option(min=0, help="Functions of the API that are kept warm.")] = 0,
    web_acl: Annotated[bool, typer.Option("--web-acl", help="With AWS WAF.")] = False,
    cloudfront: Annotated[bool, typer.Option("--cloudfront", help="With CloudFront before the API.")] = False,
    nat: Annotated[int, typer.Option(min=0, help="NAT gateways.")] = 0,
    zones: Annotated[int, typer.Option(min=0, help="Zones with VPC endpoints; 0: no VPC.")] = 0,
    trail: Annotated[bool, typer.Option("--trail", help="With CloudTrail's data events.")] = False,
    prices: Annotated[Path | None, typer.Option(help="Prices of another region; us-east-1 without it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
) -> None:
    """What a month costs on AWS, once as many months have passed as images are kept; free tiers are left out."""
    load = Workload(
        images, size, reads, months, deidentified, by.value, workflow.value, processor.value, outside, cold,
        api_ms=api_ms, intake_ms=intake_ms, step_ms=step_ms, api_megabytes=api_memory, step_megabytes=step_memory,
        provisioned=provisioned, web_acl=web_acl, cloudfront=cloudfront, nat=nat, zones=zones, trail=trail,
    )  # fmt: skip
    found = estimate(load, Prices.load(prices))
    typer.echo(json.dumps(as_document(found), indent=2) if as_json else as_table(found))


def as_document(found: Estimate) -> dict[str, object]:
    """Everything, unrounded."""
    return {
        "region": found.region,
        "prices_as_of": found.as_of,
        "workload": asdict(found.workload),
        "lines": [asdict(line) for line in found.lines],
        "month": found.total,
        "per_million_images": found.per_million,
        "idle_month": found.idle,
        "idle_compute": found.idle_compute_paid,
        "idle_compute_without_free_tier": found.idle_compute,
    }


def as_table(found: Estimate) -> str:
    """Lines as Markdown, below each other by what they are for, and what they come to."""
    rows = ["| for | service | amount | unit | $ a month |", "|---|---|---:|---|---:|"]
    for part, lines in groupby(found.lines, key=lambda line: line.part):
        held = list(lines)
        rows += [
            f"| {part} | {each.service} | {_amount(each.amount)} | {each.unit} | {each.dollars:,.2f} |" for each in held
        ]
        rows.append(f"| **{part}** | | | | **{sum(each.dollars for each in held):,.2f}** |")
    million = "" if found.per_million is None else f"${found.per_million:,.2f} per million images. "
    idle = found.idle - found.idle_compute
    said = (
        f"${found.total:,.2f} a month. {million}Idle: ${found.idle_compute_paid:,.2f} compute"
        f" (${found.idle_compute:,.2f} without Lambda's free tier), ${idle:,.2f} for what stands."
    )
    return "\n".join([*rows, "", said, f"Prices of {found.region} as of {found.as_of}, free tiers left out."])


def _amount(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:,.3g}"
