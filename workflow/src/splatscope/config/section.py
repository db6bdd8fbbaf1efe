"""What every config section has in common."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings: unknown keys are refused, values do not change after loading.

    Every field has a default and a description that states its unit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    JOBS: ClassVar[frozenset[str]] = frozenset()  # fields that only say how many jobs there are

    def of_a_job(self, *unused: str) -> dict[str, Any]:
        """Plain values for a job, which runs again when one of them changes: without fields that leave its bytes alone.

        These are the ones that say how many such jobs there are, and the `unused` ones.
        """
        return self.model_dump(mode="json", exclude={*self.JOBS, *unused})
