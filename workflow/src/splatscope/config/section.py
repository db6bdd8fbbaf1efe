"""What every config section has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings: unknown keys are refused, values do not change after loading.

    Every field has a default and a description that states its unit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
