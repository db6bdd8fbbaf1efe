"""Work that lags behind its orders: only the newest is done, roughly at once and finely when no more come."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

Order = TypeVar("Order")


class NewestFirst(Generic[Order]):
    """Calls `work(order, fine)` in a thread of its own: with fine=False as soon as it is free, and with fine=True once
    no newer order has come for `still_s` seconds. Orders that came meanwhile are dropped, all but the newest."""

    def __init__(self, work: Callable[[Order, bool], None], still_s: float = 0.2):
        self._work, self._still_s = work, still_s
        self._condition = threading.Condition()
        self._order: Order | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, order: Order) -> None:
        with self._condition:
            self._order = order
            self._condition.notify()

    def stop(self) -> None:
        """End after the order in hand."""
        with self._condition:
            self._stopped = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        order = self._take(None)
        while order is not None:
            self._do(order, fine=False)
            newer = self._take(self._still_s)
            if newer is None and not self._stopped:
                self._do(order, fine=True)
                newer = self._take(None)
            order = newer

    def _take(self, timeout_s: float | None) -> Order | None:
        """The newest order; None when there is none in time, or it is to end."""
        with self._condition:
            self._condition.wait_for(lambda: self._order is not None or self._stopped, timeout_s)
            order, self._order = self._order, None
            return None if self._stopped else order

    def _do(self, order: Order, fine: bool) -> None:
        try:
            self._work(order, fine)
        except Exception:  # the next order may fare better: the page must not stand still for ever
            traceback.print_exc()
