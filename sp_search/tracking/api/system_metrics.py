"""What a search does to the machines that it runs on: cores, memory, disk, network, GPUs, by MLflow's own monitors.

MLflow would send them itself, from a thread that ends for good where a server is away. Here they go into the spool,
those of this machine as `system/NAME`, those of another machine of the cluster as `system/MACHINE/NAME`.
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


Others = Callable[[], Mapping[str, Mapping[str, float]]]
"""Gives the metrics of other machines: machine -> name -> value."""


class MachineMetrics:
    """The metrics of the machine of this process."""

    def __init__(self) -> None:
        """Import MLflow's monitors: it takes 2 s."""
        with IMPORTING:
            self._monitors = _monitors()

    def sample(self) -> dict[str, float]:
        """The metrics now, by MLflow's names."""
        found: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.clear_metrics()
            monitor.collect_metrics()
            found |= monitor.aggregate_metrics()
        return found


class SystemSampler:
    """Tells the metrics of this machine and of others from a thread of its own."""

    def __init__(
        self, tell: Callable[[Mapping[str, float]], None], every_s: float, others: Others | None = None
    ) -> None:
        """Say nothing yet.

        Args:
            tell: is called with them, in the thread.
            every_s: seconds between two samples; MLflow's own are 10.
            others: gives those of other machines, in the thread; None where there are none.
        """
        self._tell, self._every_s, self._others = tell, every_s, others
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
        own = MachineMetrics()
        while not self._over.wait(self._every_s):
            found = {f"{SYSTEM}{name}": value for name, value in own.sample().items()}
            for machine, metrics in (self._others() if self._others is not None else {}).items():
                found |= {f"{SYSTEM}{machine}/{name}": value for name, value in metrics.items()}
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
