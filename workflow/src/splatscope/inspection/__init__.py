"""What is in a file or folder of results: its kind, figures, provenance, and a picture."""

from splatscope.inspection.description import Description
from splatscope.inspection.recognise import describe

__all__ = ["Description", "describe"]
