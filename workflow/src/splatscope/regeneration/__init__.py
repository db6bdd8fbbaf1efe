"""One frame of a finished dataset made again, and its bytes compared."""

from splatscope.regeneration.frame_name import FrameName, find_frame
from splatscope.regeneration.making import Remade, regenerate

__all__ = ["FrameName", "Remade", "find_frame", "regenerate"]
