"""A limit on what readers of other people's making may allocate."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def memory_limit(extra: int) -> Iterator[None]:
    """Within, the process may take `extra` bytes more than it has: MemoryError instead of a machine that swaps.

    Only where the system tells how much a process has (Linux).
    """
    statistics = Path("/proc/self/statm")
    if not statistics.exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = int(statistics.read_text().split()[0]) * resource.getpagesize() + extra
    if before[0] != resource.RLIM_INFINITY:
        limit = min(limit, before[0])
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
