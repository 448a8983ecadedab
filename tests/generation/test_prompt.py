"""How layouts become text."""

from __future__ import annotations

from occlusionformer.generation import compose_prompt, instance_text
from tests.generation.layouts import cat_and_vase


def test_prompt_is_global_then_captions_in_order():
    assert compose_prompt(cat_and_vase()) == "a sunny room, a tabby cat — asleep, a blue vase"


def test_prompt_without_instances_is_the_global_one():
    assert compose_prompt(cat_and_vase(instances=(), order=None)) == "a sunny room"


def test_prompt_without_captions_is_the_global_one():
    assert compose_prompt(cat_and_vase(), captions=False) == "a sunny room"


def test_category_leads_the_caption_where_there_is_one():
    cat, vase = cat_and_vase().instances
    assert instance_text(cat) == "cat, a tabby cat — asleep"
    assert instance_text(vase) == "a blue vase"
