"""Stage compose: what is where in each frame to be made."""

from splatscope.compose.replay import compose_replay
from splatscope.compose.sampling import sample_scenes

__all__ = ["compose_replay", "sample_scenes"]
