"""What a run takes from its machine: processor, memory, GPU. Measured now and then, in no thread.

The numbers differ each time, so guards do not see them and no promise of exactness covers them.
"""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import psutil

from ablate import keys


class MachineMeter:
    """Measures this process and the GPUs that it was given.

    Args:
        every_s: Seconds between two measurements, 0 for none.
        gpus: Their indices, none on the CPU.
    """

    def __init__(self, every_s: float, gpus: tuple[int, ...]) -> None:
        self._every_s = every_s
        self._gpus = gpus
        self.due = 0.0 if every_s else math.inf
        """Unix seconds before which there is nothing to read."""
        self._process: psutil.Process | None = None
        self._handles: list[Any] = []

    def read(self, now: float) -> dict[str, float]:
        """Return ``system/...`` -> value; nothing the first time, which begins to count.

        Processor percents count from the last measurement: 100 is one core. Memory and use of a
        GPU are those of all its processes; of several, memory is their sum and use their mean.

        Args:
            now: Unix seconds.
        """
        self.due = now + self._every_s
        if self._process is None:  # a short run is not measured at all
            self._process = psutil.Process()
            self._process.cpu_percent()
            return {}
        return {
            keys.CPU_PERCENT: self._process.cpu_percent(),
            keys.RSS_BYTES: float(self._process.memory_info().rss),
            **self._gpu_values(),
        }

    def _gpu_values(self) -> dict[str, float]:
        if not self._gpus or importlib.util.find_spec("pynvml") is None:
            return {}
        import pynvml

        try:
            if not self._handles:
                pynvml.nvmlInit()
                self._handles = [pynvml.nvmlDeviceGetHandleByIndex(gpu) for gpu in self._gpus]
            use = [float(pynvml.nvmlDeviceGetUtilizationRates(h).gpu) for h in self._handles]
            memory = [float(pynvml.nvmlDeviceGetMemoryInfo(h).used) for h in self._handles]
            return {
                keys.GPU_PERCENT: sum(use) / len(use),
                keys.GPU_MEMORY_BYTES: sum(memory),
            }
        except pynvml.NVMLError:
            self._gpus = ()  # this driver does not tell: ask no more
            return {}
