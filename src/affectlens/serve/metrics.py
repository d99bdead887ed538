"""What the service counts, for Prometheus: requests, their seconds, the queue, batches, pictures, errors."""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

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

    def families(self) -> list[Metric]:
        """Return all counts as they are now; they can be sent to other processes."""
        return list(self._registry.collect())


def text_of_replicas(counts: Mapping[str, Sequence[Metric]]) -> bytes:
    """Write the counts of several replicas by their names: each series has the label `replica`.

    They are not added up here: a replica that was replaced takes its counts along, and sums would fall.
    """
    found: dict[str, Metric] = {}
    for replica, families in counts.items():
        for each in families:
            family = found.setdefault(each.name, Metric(each.name, each.documentation, each.type))
            for sample in each.samples:
                family.add_sample(sample.name, {**sample.labels, "replica": replica}, sample.value)
    registry = CollectorRegistry()
    registry.register(_Collected(found.values()))
    return generate_latest(registry)


class _Collected(Collector):
    """Families that were collected elsewhere, as a registry takes them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
