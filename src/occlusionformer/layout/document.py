"""The parent of all parts of a layout document: frozen, strict, and every problem reported at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler
from typing_extensions import Self

from occlusionformer.layout.problems import LayoutError, Problem, problems_of, shown
from occlusionformer.layout.text import parse_json, text_of, unfit_parts

NOT_IN_DOCUMENTS = frozenset({"<front_to_back>", "<pairs>", "<depths>", "<polygon>", "<run length>", "[key]"})
"""What pydantic puts into the paths of its errors beside names and places: members of our unions, keys of dicts."""


class Document(BaseModel):
    """Raises LayoutError where pydantic would raise ValidationError."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if not TYPE_CHECKING:  # type checkers derive the signature from the fields

        def __init__(self, /, **fields: Any) -> None:
            problems = []
            try:
                super().__init__(**fields)
            except ValidationError as error:
                problems = problems_of(error, type(self).model_fields, NOT_IN_DOCUMENTS)
            problems += self.problems_between(fields)
            if problems:
                raise LayoutError(problems)

    @model_validator(mode="wrap")
    @classmethod
    def _names_are_text(cls, value: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Refuses what could not even be passed to `__init__`."""
        names = value if isinstance(value, Mapping) else ()
        if wrong := [name for name in names if not isinstance(name, str)]:
            raise LayoutError(f"expected text as the name of a field, got {shown(name)}" for name in wrong)
        return handler(value)

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
            raise LayoutError(problems_of(error, cls.model_fields, NOT_IN_DOCUMENTS)) from None

    @classmethod
    def model_validate_json(cls, json_data: str | bytes) -> Self:  # type: ignore[override]
        """A document from strict JSON; raises LayoutError."""
        value = parse_json(text_of(json_data))
        unfit = unfit_parts(value)
        if problems := unfit.names + unfit.numbers:
            raise LayoutError(problems)
        return cls.model_validate(value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values in some fields, checked like any document."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**(copy.deepcopy(fields) if deep else fields), **(update or {})})
