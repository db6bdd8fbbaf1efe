"""How long jobs take on so many nodes: each starts as soon as what it reads is there and enough cores are free."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def makespan(
    seconds: Sequence[float], cores: Sequence[int], after: Sequence[Sequence[int]], nodes: int, cores_per_node: int
) -> float:
    """Seconds until the last job ends. A job takes `seconds` on `cores` cores of one node, after the jobs in `after`.

    Among jobs that could start, those with the longest way to the end go first.
    """
    count = len(seconds)
    followers: list[list[int]] = [[] for _ in range(count)]
    for job, before in enumerate(after):
        for other in before:
            followers[other].append(job)
    remaining = [0.0] * count
    for job in reversed(range(count)):
        remaining[job] = seconds[job] + max((remaining[other] for other in followers[job]), default=0.0)
    waiting = [len(before) for before in after]
    ready = [(-remaining[job], job) for job in range(count) if not waiting[job]]
    heapq.heapify(ready)
    free = [cores_per_node] * nodes
    running: list[tuple[float, int, int]] = []  # end, job, node
    now = 0.0
    while ready or running:
        postponed = []
        while ready and max(free):
            entry = heapq.heappop(ready)
            job = entry[1]
            node = max(range(nodes), key=free.__getitem__)
            wanted = min(cores[job], cores_per_node)
            if free[node] < wanted:
                postponed.append(entry)
                continue
            free[node] -= wanted
            heapq.heappush(running, (now + seconds[job], job, node))
        for entry in postponed:
            heapq.heappush(ready, entry)
        now, job, node = heapq.heappop(running)
        free[node] += min(cores[job], cores_per_node)
        for other in followers[job]:
            waiting[other] -= 1
            if not waiting[other]:
                heapq.heappush(ready, (-remaining[other], other))
    return now
