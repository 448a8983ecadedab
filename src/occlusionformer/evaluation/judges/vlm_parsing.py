"""What counts as an answer in a judge's reply (the rules of arXiv 2509.19282's evaluation). No model in here.

A reply that does not parse is unreadable as a whole; inside one that does, whatever is missing or malformed counts as
nothing found, or as no.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

from occlusionformer.evaluation.judgement import Json, JudgementError

FENCE = re.compile(r"```json(.*?)```", re.DOTALL)


def read_json(reply: str | None) -> Mapping[str, Json]:
    """The object in the first fence marked json; without such a fence, the whole reply as JSON.

    Raises JudgementError for anything else: no text, single quotes, a cut-off reply, a list.
    """
    if not isinstance(reply, str):
        raise JudgementError("unreadable", f"expected words, got {type(reply).__name__}")
    fenced = FENCE.search(reply)
    try:
        value = json.loads(fenced[1] if fenced else reply, parse_float=_float, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise JudgementError("unreadable", "expected JSON", reply=reply) from error
    if not isinstance(value, dict):
        raise JudgementError("unreadable", f"expected a JSON object, got {type(value).__name__}", reply=reply)
    return value


def read_boxes(reply: str | None, categories: Sequence[str]) -> dict[str, list[Json]]:
    """What was listed under each category, letter by letter the same; nothing for one that holds no list.

    The boxes themselves are left as they are: which of them count is the metric's rule.
    """
    found = read_json(reply)
    return {category: value if isinstance(value := found.get(category), list) else [] for category in categories}


def read_yes_no(reply: str | None, keys: Sequence[str]) -> dict[str, str]:
    """Yes where the word stands under the very key that was asked, in any case of letters; no everywhere else."""
    found = read_json(reply)
    return {key: "yes" if _is_yes(found.get(key)) else "no" for key in keys}


def says_yes(reply: str | None) -> bool:
    """Whether a reply in words begins with yes. Raises JudgementError for one that begins with neither."""
    if not isinstance(reply, str):
        raise JudgementError("unreadable", f"expected words, got {type(reply).__name__}")
    word = re.match(r"\W*(yes|no)\b", reply, re.IGNORECASE)
    if word is None:
        raise JudgementError("unreadable", "expected yes or no", reply=reply)
    return _is_yes(word[1])


def _is_yes(value: Json) -> bool:
    return isinstance(value, str) and value.lower() == "yes"


def _float(text: str) -> float | str:
    """A number too large for a float stays text: no box can hold it, and it can still be recorded."""
    number = float(text)
    return number if math.isfinite(number) else text
