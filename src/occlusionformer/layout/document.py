"""The parent of all parts of a layout document: frozen, strict, and every problem reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import Self

from occlusionformer.layout.problems import LayoutError, Problem, problems_of

UNION_TAGS = frozenset({"<front_to_back>", "<pairs>", "<depths>", "<polygon>", "<run length>"})
"""Names of the members of our unions; pydantic puts them into the paths of its errors."""


class Document(BaseModel):
    """Raises LayoutError where pydantic would raise ValidationError."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if not TYPE_CHECKING:  # type checkers derive the signature from the fields

        def __init__(self, /, **fields: Any) -> None:
            problems = []
            try:
                super().__init__(**fields)
            except ValidationError as error:
                problems = problems_of(error, type(self).model_fields, UNION_TAGS)
            problems += self.problems_between(fields)
            if problems:
                raise LayoutError(problems)

    @classmethod
    def problems_between(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """What is wrong between the fields, as given: looked for even when single fields are wrong."""
        return []

    @classmethod
    def model_validate(cls, obj: Any) -> Self:  # type: ignore[override]
        """A document from a dict; raises LayoutError. There are no options to make it lenient."""
        try:
            return super().model_validate(obj)
        except ValidationError as error:
            raise LayoutError(problems_of(error, cls.model_fields, UNION_TAGS)) from None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values in some fields, checked like any document."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **(update or {})})
