"""Tables of an operation: what every frame shows, what happened to the tissue, how the steps ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

from splatscope.simulate.operation.command import Command, Note

if TYPE_CHECKING:
    from splatscope.simulate.tissue.events import TissueEvent

TRIPLET_COLUMNS = ["frame", "time_s", "phase", "instrument", "verb", "target", "hand", "triplet"]
EVENT_COLUMNS = ["time_s", "kind", "hand", "body", "class_id", "x_mm", "y_mm", "z_mm", "amount"]


def triplet_table(commands: Sequence[Command]) -> pd.DataFrame:
    """One row for each instrument inside the patient in each frame, `commands` being the frames' in order.

    Columns: frame (0, 1, ...), time_s, phase, instrument, verb, target in CholecT50's words, hand, and triplet,
    CholecT50's number. A frame without any has one row whose instrument, verb, target and hand are None and
    whose triplet is -1.
    """
    rows = []
    for frame, command in enumerate(commands):
        head = (frame, command.time_s, command.phase)
        rows += [
            (*head, triplet.instrument, triplet.verb, triplet.target, triplet.hand, triplet.number)
            for triplet in command.triplets
        ] or [(*head, None, None, None, None, -1)]
    return pd.DataFrame(rows, columns=TRIPLET_COLUMNS)


def event_table(events: Sequence[TissueEvent]) -> pd.DataFrame:
    """One row for each event of the tissue, in order of time; what `amount` means depends on the kind."""
    rows = [
        (event.time_s, event.kind, event.tool, event.body, event.class_id, *event.point, event.amount)
        for event in sorted(events, key=lambda event: event.time_s)
    ]
    table = pd.DataFrame(rows, columns=EVENT_COLUMNS)
    return table.astype({"class_id": "Int16", "time_s": float, "amount": float})


def log_table(notes: Sequence[Note]) -> pd.DataFrame:
    """One row for each note: time_s, phase, step, outcome (done, retried, skipped, aborted), text."""
    return pd.DataFrame([asdict(note) for note in notes], columns=["time_s", "phase", "step", "outcome", "text"])
