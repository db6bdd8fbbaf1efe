"""Ingest: from what the recorder wrote to frames with poses. `ingest_recording` is the job; the rest serves it."""

from splatscope.ingest.check import validate_recording
from splatscope.ingest.recording import IngestOutputs, ingest_recording
from splatscope.ingest.trackers import read_tracker_log

__all__ = ["IngestOutputs", "ingest_recording", "read_tracker_log", "validate_recording"]
