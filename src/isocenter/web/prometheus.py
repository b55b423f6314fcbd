"""What a server counts, as Prometheus scrapes it."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from prometheus_client.registry import CollectorRegistry


class PrometheusMetrics:
    """Counts and times by route template, in a registry of their own."""

    media_type: str | None = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("route", "method", "status")
        self._requests = Counter("isocenter_requests", "Requests answered.", labels, registry=self.registry)
        self._seconds = Histogram(
            "isocenter_request_seconds",
            "Time to the end of the answer.",
            ("route", "method"),
            registry=self.registry,
        )
        self._in_progress = Gauge("isocenter_requests_in_progress", "Requests under way.", registry=self.registry)
        self._images = Counter("isocenter_images", "Images sent in, by outcome.", ("outcome",), registry=self.registry)

    def begun(self) -> None:
        self._in_progress.inc()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self._in_progress.dec()
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(seconds)

    def received(self, outcome: str) -> None:
        self._images.labels(outcome).inc()

    def page(self) -> bytes:
        return generate_latest(self.registry)
