"""What functions count, as lines of their logs from which CloudWatch makes metrics (embedded metric format)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NAMESPACE: Final = "Isocenter"


class CloudWatchMetrics:
    """Counts of one function under the dimension `service`, which is the deployment's name; no label is a value.

    Nothing is sent: each `flush` writes a line where there is something to tell.
    """

    media_type: str | None = None

    def __init__(self, service: str) -> None:
        self._service = service
        self._counts: dict[str, int] = {}

    def begun(self) -> None:
        """API Gateway counts and times requests by itself."""

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Likewise."""

    def received(self, outcome: str) -> None:
        self.count(f"Images{outcome.title().replace('-', '')}")

    def page(self) -> None:
        """There is none: CloudWatch has them."""

    def count(self, name: str, number: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + number

    def flush(self) -> None:
        counts, self._counts = self._counts, {}
        self._tell(counts, {}, None)

    def step(self, use: str, counts: Mapping[str, int], seconds: float) -> None:
        """What came of one chunk in a step, under the dimension `step` (validate, deidentify, algorithm, deliver)."""
        self._tell(counts, {"step": use}, seconds * 1000)

    def _tell(self, counts: Mapping[str, int], dimensions: Mapping[str, str], milliseconds: float | None) -> None:
        if not any(counts.values()) and milliseconds is None:
            return
        from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit  # noqa: PLC0415 - heavy, at a cold start

        metrics = EphemeralMetrics(namespace=NAMESPACE, service=self._service)
        for name, value in dimensions.items():
            metrics.add_dimension(name, value)
        for name, number in counts.items():
            if number:
                metrics.add_metric(name, MetricUnit.Count, number)
        if milliseconds is not None:
            metrics.add_metric("StepTime", MetricUnit.Milliseconds, round(milliseconds, 1))
        metrics.flush_metrics()
