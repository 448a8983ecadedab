"""What the text encoders are given to read: the only place where layouts become text."""

from __future__ import annotations

from occlusionformer.layout import Instance, Layout


def compose_prompt(layout: Layout, *, captions: bool = True) -> str:
    """The text for the whole picture: "global, caption 1, caption 2", captions in the order of the layout.

    The published weights were trained on this form; categories are left out. captions: False for the global prompt
    alone, as the embedded model reads it.
    """
    if not captions:
        return layout.prompt
    return ", ".join([layout.prompt, *(instance.caption for instance in layout.instances)])


def instance_text(instance: Instance) -> str:
    """The text for one instance: "category, caption", or the caption alone where no category is given."""
    return f"{instance.category}, {instance.caption}" if instance.category else instance.caption
