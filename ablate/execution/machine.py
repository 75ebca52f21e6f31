"""What a run takes from its machine: processor, memory, GPU. Measured now and then, in no thread.

The numbers differ each time, so guards do not see them and no promise of exactness covers them.
"""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import psutil


class MachineMeter:
    """Measures this process and the GPU that it was given.

    Args:
        every_s: Seconds between two measurements, 0 for none.
        gpu: Its index, None on the CPU.
    """

    def __init__(self, every_s: float, gpu: int | None) -> None:
        self._every_s = every_s
        self._gpu = gpu
        self.due = 0.0 if every_s else math.inf
        """Unix seconds before which there is nothing to read."""
        self._process: psutil.Process | None = None
        self._handle: Any = None

    def read(self, now: float) -> dict[str, float]:
        """Return ``system/...`` -> value; nothing the first time, which begins to count.

        Processor percents count from the last measurement: 100 is one core. Memory and use of a
        GPU are those of all its processes.

        Args:
            now: Unix seconds.
        """
        self.due = now + self._every_s
        if self._process is None:  # a short run is not measured at all
            self._process = psutil.Process()
            self._process.cpu_percent()
            return {}
        return {
            "system/cpu_percent": self._process.cpu_percent(),
            "system/rss_bytes": float(self._process.memory_info().rss),
            **self._gpu_values(),
        }

    def _gpu_values(self) -> dict[str, float]:
        if self._gpu is None or importlib.util.find_spec("pynvml") is None:
            return {}
        import pynvml

        try:
            if self._handle is None:
                pynvml.nvmlInit()
                self._handle = pynvml.nvmlDeviceGetHandleByIndex(self._gpu)
            return {
                "system/gpu_percent": float(pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu),
                "system/gpu_memory_bytes": float(pynvml.nvmlDeviceGetMemoryInfo(self._handle).used),
            }
        except pynvml.NVMLError:
            self._gpu = None  # this driver does not tell: ask no more
            return {}
