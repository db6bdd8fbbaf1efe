"""The phantom: recordings made exactly as a user would bring them, and the hidden truth apart."""

from splatscope.phantom.checkerboard import render_checkerboard_recording
from splatscope.phantom.recording import render_recording
from splatscope.phantom.rig import RECORDINGS, write_rig

__all__ = ["RECORDINGS", "render_checkerboard_recording", "render_recording", "write_rig"]
