"""What Prometheus is told of the service."""

from collections import Counter as Counts
from datetime import UTC, datetime, time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from sensequant_assets.batch.prediction import Flag
from sensequant_assets.service.current import Renewal

PATHS = ("/predict", "/health", "/champion", "/metrics", "/openapi.json")
# Every series would have a second one, of when it began.
disable_created_metrics()  # type: ignore[no-untyped-call]
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Metrics:
    """Counts requests, and tells how current answers are.

    Parameters
    ----------
    renewal
        What is answered from.
    """

    def __init__(self, renewal: Renewal) -> None:
        self._renewal = renewal
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "sensequant_requests", "Requests answered", ("method", "path", "status"), registry=registry
        )
        self._seconds = Histogram(
            "sensequant_request_seconds", "Seconds an answer took", ("path",), registry=registry, buckets=_SECONDS
        )
        self._gauges = {
            name: Gauge(f"sensequant_{name}", meaning, registry=registry)
            for name, meaning in {
                "champion": "Version of the champion that answers; 0 if nobody has promoted the students",
                "unproven": "Whether nobody has promoted the students that answer",
                "symbols": "Symbols with a prediction",
                "symbols_missing": "Symbols without one",
                "bars_day_seconds": "Latest day of the bars, as Unix time",
                "read_seconds": "When students and bars were read, as Unix time",
                "looked_seconds": "When they were last looked at for a change, as Unix time",
                "behind": "Whether a change could not be read",
                "renewals": "Times that a change was read",
                "renewals_failed": "Looks that failed",
            }.items()
        }
        self._flags = Gauge("sensequant_flagged", "Predictions with a flag", ("flag",), registry=registry)

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one request; a path that is none counts as `other`, so that nobody makes names."""
        known = path if path in PATHS else "other"
        self._requests.labels(method if known != "other" else "other", known, status).inc()
        self._seconds.labels(known).observe(seconds)

    def text(self) -> tuple[bytes, str]:
        """All metrics in Prometheus' text format, and its content type."""
        renewal, current = self._renewal, self._renewal.current
        forecasts = current.forecasts
        day = datetime.combine(forecasts.day, time(), UTC)
        numbers = {
            "champion": current.standing.champion or 0,
            "unproven": current.standing.champion is None,
            "symbols": len(forecasts.rows),
            "symbols_missing": len(forecasts.missing),
            "bars_day_seconds": day.timestamp(),
            "read_seconds": current.read_at.timestamp(),
            "looked_seconds": renewal.looked_at.timestamp(),
            "behind": bool(renewal.problem),
            "renewals": renewal.renewed,
            "renewals_failed": renewal.failed,
        }
        for name, number in numbers.items():
            self._gauges[name].set(float(number))
        flagged = Counts(flag for row in forecasts.rows for flag in str(row.flags).split(", "))
        for flag in Flag:
            self._flags.labels(flag.value).set(flagged[flag.value])
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
