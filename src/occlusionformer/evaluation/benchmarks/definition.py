"""The JSON document that defines a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from occlusionformer.layout.document import Document
from occlusionformer.layout.problems import Problem, one_of, shown
from occlusionformer.layout.schema import Text


class ReportedWith(Document):
    """How published figures were measured, as far as that is stated."""

    source: Text = Field(description="Where the figures stand.")
    items: int = Field(description="How many pictures they are of.", ge=1)
    judges: dict[Text, Text] = Field({}, description="The models that judged, by kind of question.")


class Definition(Document):
    """A benchmark without its items. Parsing raises LayoutError with every problem."""

    name: Text = Field(description="Short name, also of the folder its results go to.")
    title: Text = Field(description="Name in tables and reports.")
    source: dict[str, Any] = Field(description="`format`, the name of a source, and the settings of that source.")
    metrics: tuple[Text, ...] = Field(description="Names of the metrics that apply.", min_length=1)
    conditions_on: Literal["order of the reference"] | None = Field(
        None, description="A question about the references whose answer is part of the layouts to draw."
    )
    judges: dict[Text, Text] = Field({}, description="Judges of the published protocol, by kind of question.")
    reported: dict[Text, dict[Text, float]] = Field({}, description="Published figures, by method and column.")
    reported_with: ReportedWith | None = Field(None, description="How the published figures were measured.")
    notes: tuple[Text, ...] = Field((), description="Sentences to print next to the results.")

    @classmethod
    def problems_between(cls, fields: Mapping[str, Any]) -> list[Problem]:
        from occlusionformer.evaluation.specs import METRICS

        named = fields.get("metrics", ())
        places = enumerate(named) if isinstance(named, list | tuple) else ()
        found = [
            Problem(("metrics", place), f"expected {one_of(METRICS)}, got {shown(name)}")
            for place, name in places
            if isinstance(name, str) and name not in METRICS
        ]
        source = fields.get("source")
        if isinstance(source, Mapping) and not isinstance(source.get("format"), str):
            found.append(Problem(("source", "format"), f"expected a name, got {shown(source.get('format'))}"))
        return found
