"""The prompts for vision-language models. They are part of a judge: changing a word changes its identity.

The wordings are this project's own; what each prompt tells and asks follows the published evaluation that it serves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from occlusionformer.evaluation.judgement import DescribedInstance, Json, digest

SYSTEM = "You are a helpful assistant."

DETECT = """\
Find every object of these categories in the picture: {categories}

Draw one box around each single object, never one box around several. Give a box as [x1, y1, x2, y2] in pixels, the \
top left corner first. Use exactly the category names listed above, in English, and give an empty list for a category \
that is not in the picture.

Answer with one JSON object from category to list of boxes and with nothing else. Example of the form:
{example}"""

ENTITY = """\
Each entry below describes an object that should be in the picture, with its category, its box as [x1, y1, x2, y2] in \
pixels, and a description:
{instances}

Look at each box and decide whether it shows that object. Say "Yes" only if the object is plainly there, is well \
formed, and shows the main attributes that the description names. Say "No" if it is missing, broken, merged with \
something else, or lacks such an attribute.

Answer with one JSON object from the names above to "Yes" or "No", with every name spelled exactly as above, inside a \
```json fence and with nothing else."""

RELATION = """\
These objects should be in the picture, with their boxes as [x1, y1, x2, y2] in pixels:
{boxes}

These relations should hold between them:
{relations}

Decide for each relation whether the picture shows it. A relation of nearness (near, beside, next to and the like) \
holds when both objects are well formed, not merged into each other, and close together. A relation of position \
(behind, in front of, on, under and the like) has to be plain to see in the picture itself. The boxes only tell which \
objects are meant: do not say "No" because an object does not fill its box.

Answer with one JSON object from the keys of the relations to "Yes" or "No", with every key spelled exactly as above, \
inside a ```json fence and with nothing else."""

PRESENCE = """\
Does this picture show the following? {caption}
Answer with Yes or No alone."""

ATTRIBUTE = """\
The picture should show "{caption}", described in detail as: {detail}
Look only at the {attribute} of it. Does the {attribute} agree with the detailed description? If the detailed \
description does not mention any {attribute}, the answer is Yes. Answer with Yes or No alone."""

ATTRIBUTE_BY_CAPTION = """\
The picture should show the following: {caption}
Look only at the {attribute}. Does it agree with the description? If the description does not mention any {attribute}, \
the answer is Yes. Answer with Yes or No alone."""

ATTRIBUTES = ("color", "texture", "shape")

VERSION = digest([SYSTEM, DETECT, ENTITY, RELATION, PRESENCE, ATTRIBUTE, ATTRIBUTE_BY_CAPTION, ATTRIBUTES])[:12]


def ask_detect(categories: Sequence[str]) -> str:
    example = json.dumps({category: [[10, 20, 110, 220]] for category in categories[:2]}, ensure_ascii=False)
    return DETECT.format(categories=json.dumps(list(categories), ensure_ascii=False), example=example)


def ask_entity(instances: Sequence[DescribedInstance], boxes: Sequence[Sequence[int]]) -> str:
    rows = {
        each.name: {"category": each.category, "box": list(box), "description": each.caption}
        for each, box in zip(instances, boxes, strict=True)
    }
    return ENTITY.format(instances=_lines(rows))


def ask_relation(
    instances: Sequence[DescribedInstance], boxes: Sequence[Sequence[int]], relations: Mapping[str, str]
) -> str:
    places = {each.name: list(box) for each, box in zip(instances, boxes, strict=True)}
    return RELATION.format(boxes=_lines(places), relations=_lines(relations))


def _lines(rows: Mapping[str, Json]) -> str:
    """A JSON object with one entry a line."""
    entries = [f"  {json.dumps(key, ensure_ascii=False)}: {json.dumps(rows[key], ensure_ascii=False)}" for key in rows]
    return "{\n" + ",\n".join(entries) + "\n}"
