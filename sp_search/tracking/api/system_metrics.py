"""What a search does to the machine that it runs on: cores, memory, disk, network, GPUs, by MLflow's own monitors.

MLflow would send them itself, from a thread that ends for good where a server is away. Here they go into the spool.
They are of this machine, on which all workers are unless a cluster has them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sp_search.tracking.base.mlflow_env import IMPORTING

if TYPE_CHECKING:
    from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor

SYSTEM = "system/"
"""How MLflow's page knows these metrics."""
_CLOSE_S = 5.0


class SystemSampler:
    """Tells the metrics of the machine from a thread of its own."""

    def __init__(self, tell: Callable[[Mapping[str, float]], None], every_s: float) -> None:
        """Say nothing yet.

        Args:
            tell: is called with them, in the thread.
            every_s: seconds between two samples; MLflow's own are 10.
        """
        self._tell, self._every_s = tell, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system-metrics", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Tell no more; a thread that has not begun is no fault."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        with IMPORTING:
            monitors = _monitors()
        while not self._over.wait(self._every_s):
            found: dict[str, float] = {}
            for monitor in monitors:
                monitor.clear_metrics()
                monitor.collect_metrics()
                found |= {f"{SYSTEM}{name}": value for name, value in monitor.aggregate_metrics().items()}
            if not self._over.is_set():
                self._tell(found)


def _monitors() -> list[BaseMetricsMonitor]:
    """Those that this machine has something for."""
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    found: list[BaseMetricsMonitor] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        found.append(GPUMonitor())
    except (ImportError, RuntimeError):  # nvidia-ml-py is not installed, or there is no GPU
        return found
    return found
