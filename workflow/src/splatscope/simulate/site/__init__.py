"""The seeded anatomy of an operation."""

from splatscope.simulate.site.patient import Variation
from splatscope.simulate.site.site import OperationSite

__all__ = ["OperationSite", "Variation"]
