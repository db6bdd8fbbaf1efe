"""What sets two datasets apart."""

from splatscope.differences.compare import Comparison, compare
from splatscope.differences.pictures import draw_examples
from splatscope.differences.samples import Samples, read_samples

__all__ = ["Comparison", "Samples", "compare", "draw_examples", "read_samples"]
