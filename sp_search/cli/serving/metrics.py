"""What a server has done so far, as text that Prometheus reads."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the classes in which the durations of requests are counted, seconds."""


class ServerMetrics:
    """Counts requests, utterances, batches and durations; any thread may tell it."""

    def __init__(self) -> None:
        """Begin at 0."""
        self._lock = threading.Lock()
        self._requests: Counter[int] = Counter()
        self._durations = [0] * (len(BOUNDS_S) + 1)
        self._seconds = 0.0
        self._batches = self._utterances = 0

    def request(self, status: int, seconds: float) -> None:
        """A request was answered with an HTTP status."""
        with self._lock:
            self._requests[status] += 1
            self._durations[bisect_left(BOUNDS_S, seconds)] += 1
            self._seconds += seconds

    def batch(self, utterances: int) -> None:
        """Utterances were answered together."""
        with self._lock:
            self._batches += 1
            self._utterances += utterances

    def text(self, waiting: int) -> str:
        """All of it in Prometheus's text format; `waiting` utterances are in the queue."""
        with self._lock:
            requests = [f'sp_search_requests_total{{status="{s}"}} {n}' for s, n in sorted(self._requests.items())]
            counts = [sum(self._durations[: i + 1]) for i in range(len(self._durations))]
            bounds = [*map(str, BOUNDS_S), "+Inf"]
            classes = [
                f'sp_search_request_seconds_bucket{{le="{bound}"}} {count}'
                for bound, count in zip(bounds, counts, strict=True)
            ]
            return "\n".join([
                "# TYPE sp_search_requests_total counter", *requests,
                "# TYPE sp_search_request_seconds histogram", *classes,
                f"sp_search_request_seconds_sum {self._seconds:.6f}", f"sp_search_request_seconds_count {counts[-1]}",
                "# TYPE sp_search_batches_total counter", f"sp_search_batches_total {self._batches}",
                "# TYPE sp_search_utterances_total counter", f"sp_search_utterances_total {self._utterances}",
                "# TYPE sp_search_waiting gauge", f"sp_search_waiting {waiting}", "",
            ])  # fmt: skip
