"""On what a benchmark ran: without this its figures mean nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

CPU_INFO = Path("/proc/cpuinfo")
OWN_PAGES = Path("/proc/self/statm")


def hardware() -> dict[str, Any]:
    """Processor, cores that may be used, threads of torch, memory, GPU, and how busy the machine was before."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def versions() -> dict[str, str]:
    return {"cosy": version("cosy"), "torch": torch.__version__, "python": platform.python_version()}


def resident_bytes() -> int | None:
    """Memory that this process holds; None where the system does not tell."""
    if not OWN_PAGES.exists():
        return None
    return int(OWN_PAGES.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def device_bytes() -> int:
    """Memory that this process holds on a GPU; 0 without one."""
    return torch.cuda.memory_reserved() if torch.cuda.is_available() else 0


def _cpu() -> str:
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
