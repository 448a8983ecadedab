"""The arguments of one call, made consistent: prompt, layout and size of each picture."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from occlusionformer.generation import compose_prompt
from occlusionformer.layout import Layout
from occlusionformer.model import Method
from occlusionformer.pipelines.schedule import active_steps
from occlusionformer.tensors.grid import TokenGrid

logger = logging.getLogger(__name__)

Layouts = tuple[Layout | None, ...]
"""One entry per picture; None (or a layout without instances) is drawn by the backbone alone."""


@dataclass(frozen=True, kw_only=True)
class CallCanvas:
    """The size in pixels of all pictures of a call, and their token grid."""

    height: int
    width: int
    grid: TokenGrid


@dataclass(frozen=True, kw_only=True)
class TextInputs:
    """One side of guidance: texts, or embeddings made from them earlier."""

    prompt: str | list[str] | None
    prompt_2: str | list[str] | None
    prompt_embeds: Tensor | None
    pooled_prompt_embeds: Tensor | None

    @property
    def given(self) -> bool:
        return self.prompt is not None or (self.prompt_embeds is not None and self.pooled_prompt_embeds is not None)

    def spread(self, batch: int, name: str) -> TextInputs:
        """The same with one text per picture; a single string serves all of them."""
        return TextInputs(
            prompt=_spread_text(self.prompt, batch, name),
            prompt_2=_spread_text(self.prompt_2, batch, f"{name}_2"),
            prompt_embeds=self.prompt_embeds,
            pooled_prompt_embeds=self.pooled_prompt_embeds,
        )

    def repeat(self, times: int) -> TextInputs:
        """Every picture's text or embedding `times` times in a row."""
        return TextInputs(
            prompt=_repeated(self.prompt, times),
            prompt_2=_repeated(self.prompt_2, times),
            prompt_embeds=None if self.prompt_embeds is None else self.prompt_embeds.repeat_interleave(times, 0),
            pooled_prompt_embeds=(
                None if self.pooled_prompt_embeds is None else self.pooled_prompt_embeds.repeat_interleave(times, 0)
            ),
        )


@dataclass(frozen=True, kw_only=True)
class LayoutSettings:
    """Strength and duration of a layout's effect, and what is reported about it."""

    grounding_ratio: float
    truncated: bool
    strength: float
    want_masks: bool
    want_weights: bool

    def active_steps(self, steps: int) -> int:
        """Steps, from the first, on which the layout is obeyed."""
        return active_steps(self.grounding_ratio, steps, truncated=self.truncated) if self.strength else 0

    def acts(self, layouts: Layouts, steps: int) -> bool:
        """Whether any layout acts on any step."""
        drawn = any(layout.instances for layout in layouts if layout is not None)
        return drawn and self.active_steps(steps) > 0

    def check(self, layouts: Layouts, steps: int, branch: Method | None) -> None:
        """Raise ValueError that lists all problems."""
        problems = []
        if not math.isfinite(self.grounding_ratio) or not 0 <= self.grounding_ratio <= 1:
            problems.append(f"grounding_ratio: expected a number from 0 to 1, got {self.grounding_ratio}")
        if not math.isfinite(self.strength) or self.strength < 0:
            problems.append(f"strength: expected a finite number of at least 0, got {self.strength}")
        if steps < 1:
            problems.append(f"num_inference_steps: expected at least 1, got {steps}")
        if not problems:
            idle = not self.acts(layouts, steps)
            problems = [
                f"{name}: expected a layout with instances, active on at least one step; got grounding_ratio "
                f"{self.grounding_ratio} of {steps} steps at strength {self.strength}"
                for name, wanted in (("output_instance_masks", self.want_masks), ("output_weights", self.want_weights))
                if wanted and idle
            ]
        if branch is None and any(layout.instances for layout in layouts if layout is not None):
            problems.append("layout: expected a pipeline with a branch, got one with branch=None")
        elif self.want_masks and (branch is None or not branch.predicts_masks):
            problems.append("output_instance_masks: expected a branch with a mask head, got one without")
        if problems:
            raise ValueError("\n".join(problems))


def pair_texts_with_layouts(
    texts: TextInputs, layout: Layout | Sequence[Layout | None] | None, *, captions_in_prompt: bool
) -> tuple[TextInputs, Layouts]:
    """One prompt and one layout (or None) per picture; prompts are composed from the layouts where none is given."""
    single = layout if isinstance(layout, Layout) else None
    several = None if layout is None or isinstance(layout, Layout) else tuple(layout)
    if several is not None:
        _check_entries(several)
    if texts.prompt is None and texts.prompt_embeds is None and layout is not None:
        texts = _composed(texts, (single,) if several is None else several, captions_in_prompt)
    batch = _num_pictures(texts, several)
    layouts = (single,) * batch if several is None else several
    if len(layouts) != batch:
        raise ValueError(f"layout: expected one per prompt ({batch}), got {len(layouts)}")
    return texts.spread(batch, "prompt"), layouts


def shared_canvas(
    layouts: Layouts, *, height: int | None, width: int | None, default: int, pixels_per_token: int
) -> CallCanvas:
    """The canvas of all pictures of a call: as given, else the layouts', else the model's default.

    Given sides are rounded down to whole tokens, as FluxPipeline does it; those of a layout are refused if they are
    none: its boxes would lie elsewhere than drawn.
    """
    canvases = {(layout.height, layout.width) for layout in layouts if layout is not None} or {(default, default)}
    if len(canvases) > 1 and (height is None or width is None):
        listed = ", ".join(f"{w}x{h}" for h, w in sorted(canvases))
        raise ValueError(f"layout: expected one canvas size for all layouts of a call, got {listed}")
    canvas_height, canvas_width = min(canvases)
    height = canvas_height if height is None else _whole_tokens("height", height, pixels_per_token)
    width = canvas_width if width is None else _whole_tokens("width", width, pixels_per_token)
    return CallCanvas(height=height, width=width, grid=TokenGrid.from_pixels(height, width, pixels_per_token))


def _whole_tokens(name: str, side: int, pixels_per_token: int) -> int:
    whole = side - side % pixels_per_token
    if whole in (side, 0):
        return side
    logger.warning("%s: expected a multiple of %d, got %d; drawn at %d", name, pixels_per_token, side, whole)
    return whole


def check_noise(latents: Tensor | None, pictures: int, canvas: CallCanvas, channels: int) -> None:
    """ValueError unless given latents are packed tokens of the right number, (pictures, tokens, channels)."""
    expected = (pictures, canvas.grid.num_tokens, channels)
    if pictures < 1:
        raise ValueError(f"num_images_per_prompt: expected at least 1, got {pictures} pictures in all")
    if latents is not None and tuple(latents.shape) != expected:
        raise ValueError(f"latents: expected packed tokens {expected}, got {tuple(latents.shape)}")


def _check_entries(layouts: Sequence[object]) -> None:
    wrong = {type(entry).__name__ for entry in layouts if entry is not None and not isinstance(entry, Layout)}
    if wrong or not layouts:
        got = ", ".join(sorted(wrong)) or "nothing in it"
        raise ValueError(f"layout: expected a Layout, or a list of Layout or None, got a list with {got}")


def _composed(texts: TextInputs, layouts: Sequence[Layout | None], captions: bool) -> TextInputs:
    missing = [index for index, layout in enumerate(layouts) if layout is None]
    if missing:
        raise ValueError(f"prompt: expected one where there is no layout to compose it from, at index {missing}")
    return TextInputs(
        prompt=[compose_prompt(layout, captions=captions) for layout in layouts if layout is not None],
        prompt_2=texts.prompt_2,
        prompt_embeds=None,
        pooled_prompt_embeds=None,
    )


def _num_pictures(texts: TextInputs, layouts: Layouts | None) -> int:
    if texts.prompt_embeds is not None:
        return texts.prompt_embeds.shape[0]
    if isinstance(texts.prompt, list):
        return len(texts.prompt)
    return 1 if layouts is None else len(layouts)


def _repeated(texts: str | list[str] | None, times: int) -> list[str] | None:
    listed = [texts] if isinstance(texts, str) else texts
    return None if listed is None else [text for text in listed for _ in range(times)]


def _spread_text(text: str | list[str] | None, batch: int, name: str) -> list[str] | None:
    if text is None:
        return None
    if isinstance(text, str):
        return [text] * batch
    if len(text) != batch:
        raise ValueError(f"{name}: expected one text or {batch}, got {len(text)}")
    return text
