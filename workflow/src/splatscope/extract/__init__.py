"""Stage extract: from the splat of a tool recording to the tool alone, in the frame of its sensor."""

from splatscope.extract.tool import extract_tool

__all__ = ["extract_tool"]
