"""Work that several processes share."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from splatscope.jobs import die_with_parent


def map_in_order(work: Callable, items: Sequence, processes: int) -> Iterator:
    """Results in the order of the items, whichever process made them."""
    if processes == 1 or len(items) < 2:
        yield from map(work, items)
        return
    # forked, as spawned ones would run the job's script again
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(min(processes, len(items)), context, initializer=die_with_parent) as pool:
        yield from pool.map(work, items)
