"""Answers from the replies of vision-language models. No model is loaded here.

Replies about a whole picture are JSON and follow the rules of arXiv 2509.19282: one that does not parse is unreadable
as a whole; inside one that does, whatever is missing or malformed counts as nothing found, or as no. Replies about
one attribute of one instance are yes or no, by the rule of the evaluation that asks.
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

    Raises JudgementError for anything else: no text, single quotes, a reply that was cut off, a list.
    """
    text = _text(reply)
    fenced = FENCE.search(text)
    try:
        value = json.loads(fenced[1] if fenced else text, parse_float=_float, parse_constant=str)
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


def begins_with_yes(reply: str | None) -> bool:
    """Whether a reply begins with the word yes or no. Raises JudgementError for one that begins with neither."""
    word = re.match(r"\W*(yes|no)\b", _text(reply), re.IGNORECASE)
    if word is None:
        raise JudgementError("unreadable", "expected yes or no", reply=reply)
    return _is_yes(word[1])


def contains_yes(reply: str | None) -> bool:
    """Whether `Yes` or `yes` stands anywhere in a reply, inside other words too (the code of arXiv 2412.03859).

    Raises JudgementError for a reply with neither of them and without the word no; it counts as no there.
    """
    text = _text(reply)
    return "Yes" in text or "yes" in text or _says_no(text)


def contains_yes_in_any_case(reply: str | None) -> bool:
    """As `contains_yes`, whatever the case of the letters (the code of arXiv 2509.16691)."""
    text = _text(reply)
    return "yes" in text.lower() or _says_no(text)


def _says_no(text: str) -> bool:
    """False for a reply with the word no. Raises JudgementError for any other."""
    if re.search(r"\bno\b", text, re.IGNORECASE) is None:
        raise JudgementError("unreadable", "expected yes or no", reply=text)
    return False


def _text(reply: object) -> str:
    if not isinstance(reply, str):
        raise JudgementError("unreadable", f"expected text, got {type(reply).__name__}")
    return reply


def _is_yes(value: Json) -> bool:
    return isinstance(value, str) and value.lower() == "yes"


def _float(text: str) -> float | str:
    """A number too large for a float stays text: no box can hold it, and it can still be recorded."""
    number = float(text)
    return number if math.isfinite(number) else text
