"""A layout method, and what passes between it and the backbone's transformer.

Legend: B pictures of a batch, N instances of the batch, L tokens of one picture, P pooled text width, S tokens of an
instance's text sequence, E its width, C channels of a token.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from occlusionformer.layout import Layout
from occlusionformer.model.backbones.flux import DualBlock, SingleBlock
from occlusionformer.model.backbones.streams import Streams
from occlusionformer.model.backbones.text_places import PlacedPatches
from occlusionformer.model.config import BackboneShape
from occlusionformer.tensors.files import CheckpointError, printable_name, unfit
from occlusionformer.tensors.grid import TokenGrid

Side = Literal["cond", "uncond"]
"""Which half of classifier-free guidance a forward computes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextNeeds:
    """What a method reads of every instance's text.

    pooled: the pooled vector of the first encoder; sequence_tokens: so many tokens of the second encoder's sequence,
    "prompt" for as many as the global prompt has, 0 for none.
    """

    pooled: bool = False
    sequence_tokens: int | Literal["prompt"] = 0
    shortened: bool = False
    """Sequences may come as `InstanceTexts.shortened` leaves them: the method weighs the last row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceTexts:
    """Encoded texts, one row per instance, all pictures in order; None where the method does not read them.

    last_stands_for: so many rows, equal in all their numbers, are the last one of every sequence.
    """

    pooled_NP: Tensor | None = None
    sequence_NSE: Tensor | None = None
    last_stands_for: int = 1

    def rows(self, index_N: Tensor) -> InstanceTexts:
        """Some instances, in a new order."""
        return self._each(lambda x: x[index_N.to(x.device)])

    def shortened(self) -> InstanceTexts:
        """Padding left out: equal rows (S, E) at the end of all sequences become one that stands for them.

        Rows that no position tells apart stay equal in every layer, so that attention to w of them is attention to
        one whose logit is log w higher. Waits for one number.
        """
        sequence = self.sequence_NSE
        if sequence is None or not sequence.numel():
            return self
        equal_S = (sequence == sequence[:, -1:]).all(-1).all(0)
        spared = max(int(equal_S.flip(0).long().cumprod(0).sum()) - 1, 0)
        kept = sequence[:, : sequence.shape[1] - spared]
        return replace(self, sequence_NSE=kept, last_stands_for=self.last_stands_for + spared)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> InstanceTexts:
        return self._each(lambda x: x.to(device, dtype))

    def _each(self, change: Callable[[Tensor], Tensor]) -> InstanceTexts:
        pooled, sequence = (None if x is None else change(x) for x in (self.pooled_NP, self.sequence_NSE))
        return replace(self, pooled_NP=pooled, sequence_NSE=sequence)


@dataclass(kw_only=True, slots=True)
class LayoutReport:
    """What the forwards of a request leave behind, one tensor per layout block in the blocks' order.

    mask_logits (N, L, 2) with channel 1 the foreground, weights (N, L): of the last forward with the layout; empty
    where not asked for or not known.
    """

    mask_logits: tuple[Tensor, ...] = ()
    weights: tuple[Tensor, ...] = ()
    ids_checked: bool = False
    """The canvas of the pictures is known to be that of the layouts."""
    positive_half: Half | None = None

    def side(self, latents: Tensor, texts: Tensor) -> Side:
        """The half of guidance that a forward computes, for pipelines that do not say (img2img, ControlNet, Kontext).

        They compute the positive half first, then the negative one from the very same latents and other texts.
        """
        if self.positive_half is not None and self.positive_half.is_followed_by(latents, texts):
            return "uncond"
        self.positive_half = Half(weakref.ref(latents), _version(latents), weakref.ref(texts))
        return "cond"


@dataclass(frozen=True, slots=True)
class Half:
    """The positive half of a step, as far as the negative one is told by it."""

    latents: weakref.ref[Tensor]
    version: int
    texts: weakref.ref[Tensor]

    def is_followed_by(self, latents: Tensor, texts: Tensor) -> bool:
        return self.latents() is latents and self.version == _version(latents) and self.texts() is not texts


def _version(x: Tensor) -> int:
    """How often a tensor was written to; inference tensors do not count."""
    return 0 if x.is_inference() else x._version


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedLayouts:
    """The layouts of a batch, checked and packed once per request; the `layout` of joint_attention_kwargs.

    condition: the method's own tensors, with `to(device, dtype)`. until: the layout acts while the noise level (1 is
    noise, 0 the picture) is above it. strength: factor on what the layout adds, 0 is the backbone. level: the noise
    level as the host knows it; without it, `until` above 0 costs one read from the device a forward. Copies share
    `report`.
    """

    method: Method
    condition: Any
    layouts: tuple[Layout | None, ...]
    texts: InstanceTexts
    grid: TokenGrid
    dtype: torch.dtype
    until: float = 0.0
    strength: float = 1.0
    want_masks: bool = False
    want_weights: bool = False
    level: Callable[[], float] | None = None
    report_from: float | None = None
    """Noise level from which on masks and weights are told: that of the last step with the layout. None: always."""
    check_ids: bool = False
    """Compare the position ids of the first forward with the grid: for hosts that are told the canvas apart."""
    report: LayoutReport = field(default_factory=LayoutReport)

    @property
    def num_pictures(self) -> int:
        return len(self.layouts)

    @property
    def counts(self) -> tuple[int, ...]:
        """Instances of each picture."""
        return tuple(0 if layout is None else len(layout.instances) for layout in self.layouts)

    @property
    def num_instances(self) -> int:
        return sum(self.counts)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> PreparedLayouts:
        """The same elsewhere; geometry stays in fp32 or finer."""
        dtype = self.dtype if dtype is None else dtype
        condition = None if self.condition is None else self.condition.to(device, dtype)
        return replace(self, condition=condition, texts=self.texts.to(device, dtype), dtype=dtype)

    def repeat(self, times: int) -> PreparedLayouts:
        """Every picture `times` times in a row, as a pipeline's num_images_per_prompt does."""
        if times == 1:
            return self
        counts = torch.tensor(self.counts)
        rows = torch.arange(self.num_instances).split(self.counts)
        index_N = torch.cat([row for row in rows for _ in range(times)]) if len(counts) else torch.arange(0)
        texts = self.texts.rows(index_N)
        layouts = [layout for layout in self.layouts for _ in range(times)]
        device = next((x.device for x in (texts.pooled_NP, texts.sequence_NSE) if x is not None), "cpu")
        again = self.method.prepare(layouts, texts, self.grid, device=device, dtype=self.dtype)
        return replace(self, condition=again.condition, layouts=again.layouts, texts=again.texts)

    def acts_at(self, timestep_B: Tensor) -> bool:
        """Whether the layout acts at a noise level (0..1). ValueError where it would for some pictures alone."""
        if self.until <= 0 or self.until >= 1:
            return self.until <= 0
        if self.level is not None:
            return self.level() > self.until
        lowest, highest = torch.stack(timestep_B.float().aminmax()).tolist()
        if lowest <= self.until < highest:
            raise ValueError(f"timestep: expected all above or all at most {self.until}, got {lowest} to {highest}")
        return lowest > self.until

    @property
    def reports(self) -> bool:
        """Whether this forward tells masks and weights."""
        wanted = self.want_masks or self.want_weights
        return wanted and (self.report_from is None or self.level is None or self.level() <= self.report_from)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepInputs:
    """What a method may know of one forward of the transformer, which calls it before the first block.

    hidden_states (B, L, C), encoder_hidden_states (B, S, E), pooled_BP, timestep_B in 0..1, guidance_B and the ids as
    the transformer got them; side: the half of guidance. time_embedding(timestep_N, guidance_N or None, pooled_NP) is
    the backbone's embedding of time and text (N, D), text_embedding its projection of text sequences to (.., S, D),
    rotary(ids_N3) its position tables (N, E each); text_places: rows of a text that it reads at places in the picture.
    """

    hidden_states: Tensor
    encoder_hidden_states: Tensor
    pooled_BP: Tensor
    timestep_B: Tensor
    guidance_B: Tensor | None
    text_ids: Tensor
    image_ids: Tensor
    side: Side
    time_embedding: Callable[[Tensor, Tensor | None, Tensor], Tensor]
    text_embedding: Callable[[Tensor], Tensor]
    rotary: Callable[[Tensor], tuple[Tensor, Tensor]]
    text_places: Sequence[PlacedPatches] = ()


class Carried:
    """Values that a method carries from block to block, kept by the block before which they stand.

    A block that is computed again for its gradients then finds what it found the first time, and one whose
    predecessor a cache has skipped finds the last value there is. Blocks are counted through both kinds.
    """

    def __init__(self, first: Any) -> None:
        self._values: dict[int, Any] = {-1: first}

    def before(self, block: int) -> Any:
        """The value that the blocks before this one have left."""
        return self._values[max(position for position in self._values if position < block)]

    def put(self, block: int, value: Any) -> None:
        """What a block leaves for those behind it."""
        self._values[block] = value


class ForwardState:
    """A method during one forward. This one does nothing: every block runs as the backbone would.

    encoder_hidden_states, text_ids and attention_mask replace the transformer's text sequence, its ids (S, 3), and the
    joint attention's mask in all blocks, where they are not None. mask_logits and weights, by the position of a block,
    are filled where they were asked for.
    """

    encoder_hidden_states: Tensor | None = None
    text_ids: Tensor | None = None
    attention_mask: Tensor | None = None

    def __init__(self) -> None:
        self.mask_logits: dict[int, Tensor] = {}
        self.weights: dict[int, Tensor] = {}

    def dual(self, index: int, block: DualBlock, streams: Streams) -> Streams:
        """Run one dual-stream block."""
        return block.run(streams)

    def single(self, index: int, block: SingleBlock, streams: Streams) -> Streams:
        """Run one single-stream block."""
        return block.run(streams)

    def tell(self, report: LayoutReport) -> None:
        """Leave masks and weights in the blocks' order."""
        report.mask_logits = _in_order(self.mask_logits)
        report.weights = _in_order(self.weights)


def _in_order(by_block: Mapping[int, Tensor]) -> tuple[Tensor, ...]:
    return tuple(by_block[block] for block in sorted(by_block))


Packer = Callable[[Sequence[Layout | None], TokenGrid], Any]
"""Makes a method's own tensors of a batch of layouts, on the CPU; can be sent to another process."""


class Method(ModelMixin, ConfigMixin):
    """A layout method: parameters of its own beside a backbone that it borrows and never changes.

    name: that of the registry. texts: what it reads of every instance. negative: what the negative half of guidance
    gets, the plain backbone ("none"), the method's own empty layout ("null"), or the layout ("same").
    """

    name: ClassVar[str]
    texts: TextNeeds = TextNeeds()
    negative: Literal["none", "null", "same"] = "none"

    def __init_subclass__(cls, **keywords: Any) -> None:
        # diffusers loads a pipeline's component only if the module that defines it names the base class too.
        super().__init_subclass__(**keywords)
        vars(sys.modules[cls.__module__]).setdefault("ModelMixin", ModelMixin)

    def enable_group_offload(self, *arguments: Any, **keywords: Any) -> None:
        """Refused: a method acts inside the transformer's blocks, outside any forward of its own.

        A pipeline's enable_group_offload leaves it where it is.
        """
        raise ValueError(
            "branch: expected to stay on the accelerator, got enable_group_offload; offload the pipeline's other parts"
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[str], **arguments: Any) -> Any:
        """As diffusers', from safetensors alone. CheckpointError for a folder whose weights are damaged or do not fit.

        diffusers itself only logs that weights are missing, and fills them with random numbers.
        """
        source, wants_info = Path(pretrained_model_name_or_path), arguments.pop("output_loading_info", False)
        arguments |= {"use_safetensors": True, "output_loading_info": True}
        try:
            method, info = super().from_pretrained(pretrained_model_name_or_path, **arguments)
        except (ImportError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # what a damaged configuration raises depends on where it is damaged
            if not source.is_dir():
                raise
            raise CheckpointError(
                source, [printable_name(line) for line in str(error).splitlines()] or [repr(error)]
            ) from error
        reasons = [f"{key}: missing" for key in info["missing_keys"]]
        reasons += [f"{printable_name(key)}: unexpected" for key in info["unexpected_keys"]]
        weights = method.named_parameters()
        reasons += [f"{key}: {why}" for key, value in weights if not value.is_meta and (why := unfit(value))]
        if reasons:
            raise CheckpointError(source, reasons)
        return (method, info) if wants_info else method

    def packer(self) -> Packer:
        """What turns layouts into `PreparedLayouts.condition`; knows the method's settings, not its parameters."""
        raise NotImplementedError

    def open(self, prepared: PreparedLayouts, inputs: StepInputs) -> ForwardState:
        """Begin one forward of the transformer."""
        raise NotImplementedError

    def prepare(
        self,
        layouts: Sequence[Layout | None],
        texts: InstanceTexts,
        grid: TokenGrid,
        *,
        device: torch.device | str,
        dtype: torch.dtype,
    ) -> PreparedLayouts:
        """Layouts of a batch (None: the backbone alone) and their instances' texts, ready for the transformer.

        ValueError where the texts do not fit.
        """
        count = sum(len(layout.instances) for layout in layouts if layout is not None)
        problems = self.text_problems(texts, count)
        if problems:
            raise ValueError("\n".join(problems))
        ready = PreparedLayouts(
            method=self,
            condition=self.packer()(layouts, grid),
            layouts=tuple(layouts),
            texts=texts.shortened() if self.texts.shortened else texts,
            grid=grid,
            dtype=dtype,
        )
        return ready.to(device)

    def text_problems(self, texts: InstanceTexts, count: int) -> list[str]:
        """What is wrong with the texts of so many instances."""
        pooled = ("pooled", self.texts.pooled, texts.pooled_NP)
        given = (pooled, ("sequence", self.texts.sequence_tokens, texts.sequence_NSE))
        return [
            f"{name} text: expected one row per instance ({count}), got {'none' if rows is None else len(rows)}"
            for name, needed, rows in given
            if needed and (rows is None or len(rows) != count)
        ]

    def misfits(self, backbone: BackboneShape) -> list[str]:
        """What keeps the method from a backbone of this shape, for a message; none by default."""
        return []

    @property
    def predicts_masks(self) -> bool:
        """Whether forwards leave mask logits where they are asked for."""
        return False

    def acts_on(self, prepared: PreparedLayouts) -> bool:
        """False where the method leaves these layouts to the backbone: no instances."""
        return prepared.num_instances > 0

    def initialise(self) -> None:
        """Set fresh parameters to where training starts; a method need not do anything."""

    def figures(self) -> dict[str, float]:
        """Named numbers that tell whether the method's own parts are alive."""
        return {}
