"""Times of files that no run could live with."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from splatscope.errors import InputError

TOLERANCE_S = 60  # clocks of file servers differ a little


def refuse_future(paths: Iterable[str | Path]) -> None:
    """Raise InputError for a file that was changed later than now.

    Snakemake takes a result that is older than what it was made from for a failed one, so every job would fail.
    """
    now = time.time()
    for path in paths:
        if os.path.exists(path) and (changed := os.stat(path).st_mtime) > now + TOLERANCE_S:
            raise InputError(
                path,
                found=f"a file of {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(changed))}",
                expected=f"one from before now, which is {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now))}",
                remedy="set the clock when that is wrong, else give the file the time of now (touch)",
            )
