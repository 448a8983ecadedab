"""The parent of all parts of a layout document: frozen, strict, and every problem reported at once."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler

from occlusionformer.layout.problems import (
    MOST_PROBLEMS,
    Findings,
    LayoutError,
    Problem,
    one_of,
    problems_of_validation,
    shown,
)
from occlusionformer.layout.text import parse_json, text_of
from occlusionformer.layout.values import unfit_parts

NOT_IN_DOCUMENTS = frozenset({"<front_to_back>", "<pairs>", "<depths>", "<polygon>", "<run length>", "[key]"})
"""What pydantic puts into the paths of its errors beside names and places: members of our unions, keys of dicts."""

SLICE = 128
"""Items of a list, or of an object, that pydantic looks at before the problems found so far are counted."""


class Document(BaseModel):
    """Raises LayoutError where pydantic would raise ValidationError."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if not TYPE_CHECKING:  # type checkers derive the signature from the fields

        def __init__(self, /, **fields: Any) -> None:
            problems: list[Problem] = []
            try:
                super().__init__(**fields)
            except ValidationError as error:
                problems = problems_of_validation(error, type(self).model_fields, NOT_IN_DOCUMENTS)
            problems += islice(self.problems_between(fields), MOST_PROBLEMS + 1)
            problems = problems or list(self.problems_within())
            if problems:
                raise LayoutError(problems)

    @model_validator(mode="wrap")
    @classmethod
    def _names_are_text(cls, value: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Refuse names that are no text, and limit how many unknown names are listed."""
        names = value if isinstance(value, Mapping) else ()
        if wrong := [name for name in names if not isinstance(name, str)]:
            raise LayoutError(f"expected text as the name of a field, got {shown(name)}" for name in wrong)
        known = {field.alias or name for name, field in cls.model_fields.items()}
        if len(names) > len(known) + MOST_PROBLEMS:
            expected = f"unknown field; expected {one_of(cls.model_fields)}"
            raise LayoutError(Problem((name,), expected) for name in names if name not in known)
        return handler(value)

    @classmethod
    def problems_between(cls, fields: Mapping[str, Any]) -> Iterable[Problem]:
        """Problems between fields, as given; checked even if single fields are invalid."""
        return ()

    def problems_within(self) -> Iterable[Problem]:
        """Problems that remain if every field is valid."""
        return ()

    @classmethod
    def model_validate(cls, obj: Any) -> Self:  # type: ignore[override]
        """A document from a dict; raises LayoutError. There are no options to make it lenient."""
        try:
            return super().model_validate(obj)
        except ValidationError as error:
            raise LayoutError(problems_of_validation(error, cls.model_fields, NOT_IN_DOCUMENTS)) from None

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


def _in_slices(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """A list or object through pydantic slice by slice, until more problems are found than are listed."""
    if not isinstance(value, list | tuple | Mapping) or len(value) <= SLICE:
        return handler(value)
    findings = Findings()
    items: list[Any] = []
    fields: dict[Any, Any] = {}
    for start, part in _slices(value):
        try:
            done = handler(part)
            items.extend(done) if start is not None else fields.update(done)
        except ValidationError as error:
            findings.add(
                _shifted(problem, start or 0) for problem in problems_of_validation(error, (), NOT_IN_DOCUMENTS)
            )
    findings.raise_any()
    return fields if isinstance(value, Mapping) else tuple(items)


InSlices = WrapValidator(_in_slices)
"""On every field that is a list or an object of any length."""


def _slices(value: Any) -> Iterator[tuple[int | None, Any]]:
    if isinstance(value, Mapping):
        items = iter(value.items())
        while part := dict(islice(items, SLICE)):
            yield None, part
    else:
        yield from ((start, value[start : start + SLICE]) for start in range(0, len(value), SLICE))


def _shifted(problem: Problem, start: int) -> Problem:
    """A problem of a slice, with its index in the whole list."""
    first, *rest = problem.path or ((),)
    return Problem((first + start, *rest), problem.text) if isinstance(first, int) else problem
