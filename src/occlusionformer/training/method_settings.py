"""What a run says of the layout method it trains: one group of settings for each method, told apart by `name`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """A frozen group of settings; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OcclusionFormerSettings(Settings):
    """Layers rendered by density in the declared order. None takes what the model family has."""

    name: Literal["occlusionformer"] = "occlusionformer"
    lora_rank: int = Field(default=4, ge=0)
    """Of the branch's own deltas on the backbone's layers."""
    density: Literal["learned", "static"] = "learned"
    """static: one learned vector for each layout block, the paper's ablation."""
    hybrid: Literal["per_pixel", "per_layout", "mean"] | None = None
    """Where layers are rendered and where averaged; mean: everywhere averaged."""
    rasteriser: Literal["area", "published"] | None = None
    """published: the released code's two rasterisers."""
    instance_modulation: bool | None = None
    """Whether an instance's tokens are modulated by its own text; box coordinates, the instance MLP and
    appearance need it."""
    appearance: Literal[False] | None = None
    """false: what an instance's text says it looks like is not looked up at its tokens' places, which no other method
    does."""


class InstanceAssembleSettings(Settings):
    """Layers averaged: no density, no masks, no order."""

    name: Literal["instanceassemble"] = "instanceassemble"
    lora_rank: int = Field(default=4, ge=0)


class CreatiLayoutSettings(Settings):
    """A layout stream beside image and text."""

    name: Literal["creatilayout"] = "creatilayout"
    instance_tokens: int = Field(default=30, ge=1)
    """Tokens of each caption that are read."""
    null_slots: int = Field(default=0, ge=0)
    """Layout rows that attend even when empty; 10 in the published model, which then takes no more instances."""
    fixed_ids: bool = True


class EligenSettings(Settings):
    """Regional attention, and a LoRA on every layer of the backbone."""

    name: Literal["eligen"] = "eligen"
    rank: int = Field(default=32, ge=1)
    rasteriser: Literal["area", "published"] = "area"


class GligenSettings(Settings):
    """Gated self-attention to grounding tokens."""

    name: Literal["gligen"] = "gligen"
    token_width: int | None = Field(default=None, ge=1)
    """Of a grounding token; None for the width of the pooled text."""
    null_slots: int = Field(default=0, ge=0)
    rotary: bool = True
    looks: bool = False
    """Read what an instance's text says it looks like too, at its places in the box, where the backbone does so."""
    open_gates: bool = False
    """Gates start open, and the outputs of the layers behind them at zero; for short trainings."""


class LaRenderSettings(Settings):
    """Rendered attention outputs; it has nothing to train beside the backbone."""

    name: Literal["larender"] = "larender"
    alpha: float = Field(default=0.8, gt=0, lt=1)
    schedule: Literal["inverse_proportional", "opaque", "unchanged"] = "inverse_proportional"
    steps: int = Field(default=25, ge=1)
    maps: bool = True
    map_minimum: float = Field(default=0.0, ge=0, lt=1)


class NoMethodSettings(Settings):
    """The backbone alone, which reads the instances in its prompt or not at all."""

    name: Literal["none"] = "none"


MethodSettings = Annotated[
    OcclusionFormerSettings
    | InstanceAssembleSettings
    | CreatiLayoutSettings
    | EligenSettings
    | GligenSettings
    | LaRenderSettings
    | NoMethodSettings,
    Field(discriminator="name"),
]

SETTINGS_OF: dict[str, type[Settings]] = {
    kind.model_fields["name"].default: kind
    for kind in (
        OcclusionFormerSettings, InstanceAssembleSettings, CreatiLayoutSettings, EligenSettings, GligenSettings,
        LaRenderSettings, NoMethodSettings,
    )
}  # fmt: skip


def defaults_of(name: str) -> dict[str, Any]:
    """All settings of a method at their defaults. KeyError for a name that none has."""
    return SETTINGS_OF[name]().model_dump(mode="json")
