"""What the receiver counts, for Prometheus: a registry of its own, without the process's others."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_WEBHOOKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)


class Counters:
    """One receiver's metrics. No label takes a value that a sender could make up."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self.webhooks = Counter(
            "rutter_fleet_webhooks",
            "Webhooks by the type of what they tell of, and what became of them.",
            ["type", "result"],
            registry=self.registry,
        )
        self.refused = Counter(
            "rutter_fleet_webhooks_refused",
            "Requests that were not taken, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.deletions = Counter(
            "rutter_fleet_webhook_deletions",
            "Deletions that webhooks told of.",
            registry=self.registry,
        )
        self.seconds = Histogram(
            "rutter_fleet_webhook_seconds",
            "From a request's head to its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.groups = Histogram(
            "rutter_fleet_webhook_group_size",
            "Webhooks that were committed in one transaction.",
            buckets=_WEBHOOKS,
            registry=self.registry,
        )
        Gauge(
            "rutter_fleet_webhooks_waiting",
            "Webhooks that wait for their commit.",
            registry=self.registry,
        ).set_function(waiting)
