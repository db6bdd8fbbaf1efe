"""Processor, memory, GPU and disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from splatscope.doctor.check import Check, State
from splatscope.gpus import has_gpu

RESERVE = 1.5  # a job asks for half as much memory again as it took when it was measured


def check_processor() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    state = State.NOTE if cores < 2 else State.OK
    return Check("cores", state, f"{cores} cores", "jobs run one after the other" if cores < 2 else "")


def check_memory(largest_job_mb: float) -> Check:
    """Physical memory against what the largest job of a default run asks for."""
    total_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    needed_mb = RESERVE * largest_job_mb
    found = f"{total_mb / 1000:.1f} GB; the largest job of a default run asks for {needed_mb / 1000:.1f} GB"
    if total_mb < needed_mb:
        return Check("memory", State.MISSING, found, "use a machine with more memory, or smaller pictures")
    return Check("memory", State.OK, found)


def check_gpu() -> Check:
    """CUDA devices and their memory, and whether gsplat can have kernels for them."""
    import torch

    if not torch.cuda.is_available():
        if has_gpu():
            found = f"an NVIDIA device, which PyTorch {torch.__version__} cannot use"
            return Check(
                "gpu", State.NOTE, found, "install a driver that fits PyTorch's CUDA " + str(torch.version.cuda)
            )
        return Check("gpu", State.NOTE, "none: everything runs on the CPU")
    devices = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(f"{properties.name} ({properties.total_memory / 1e9:.0f} GB)")
    found = f"{', '.join(devices)}, driver {_driver()}, CUDA {torch.version.cuda}"
    if shutil.which("nvcc") is None and not os.environ.get("CUDA_HOME"):
        remedy = "install the CUDA toolkit: gsplat compiles its kernels with nvcc; without them splats stay on the CPU"
        return Check("gpu", State.NOTE, f"{found}; no nvcc", remedy)
    return Check("gpu", State.OK, found)


def check_disk(folder: Path, needed_bytes: float) -> Check:
    """Free space of the disk that `folder` is on, against what a default run writes."""
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free; a default run writes {needed_bytes / 1e9:.1f} GB"
    if not os.access(folder, os.W_OK):
        return Check(
            "disk", State.MISSING, f"{folder.absolute()} cannot be written", "choose another working directory"
        )
    if free < needed_bytes:
        return Check("disk", State.MISSING, found, "free some space, or work on another disk")
    return Check("disk", State.OK, found)


def _driver() -> str:
    if shutil.which("nvidia-smi") is None:
        return "unknown"
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[0].strip() or "unknown"
