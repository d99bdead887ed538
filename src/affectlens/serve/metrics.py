"""What the service counts, for Prometheus: requests, their seconds, the queue, batches, pictures, errors."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class ServeMetrics:
    """The counts of one service, in a registry of its own."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "affectlens_requests", "Requests that were answered.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "affectlens_request_seconds", "Seconds from a request's head to the end of its answer.",
            ("route",), registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.waiting = Gauge(
            "affectlens_pictures_waiting", "Pictures that wait or are answered.", registry=registry
        )
        self.explanations = Gauge(
            "affectlens_explanations_waiting", "Explanations that wait or are made.", registry=registry
        )
        self.batches = Histogram(
            "affectlens_batch_pictures", "Pictures that were predicted together.",
            registry=registry, buckets=_SIZES,
        )  # fmt: skip
        self.pictures = Counter(
            "affectlens_pictures", "Pictures that were answered.", ("outcome",), registry=registry
        )
        self.errors = Counter(
            "affectlens_errors", "Pictures that could not be read, and problems of requests.",
            ("kind",), registry=registry,
        )  # fmt: skip
        self.replaced = Counter(
            "affectlens_decoders_replaced", "Decoder processes that ended before their time.",
            registry=registry,
        )  # fmt: skip
        self.films = Gauge(
            "affectlens_films", "Films of the service, by their status.", ("status",), registry=registry
        )

    def text(self) -> bytes:
        """Write all counts in Prometheus's text format."""
        return generate_latest(self._registry)
