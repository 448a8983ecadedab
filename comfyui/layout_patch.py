"""A layout on ComfyUI's FLUX: wrappers around a run of the sampler and around each forward of the model.

A run learns the sampler's steps, and which conditioning is the positive one. A forward opens the method's state and
runs with a copy of transformer_options in which the blocks' hooks hand themselves to that state; hooks that were there
are called by ours. Nothing of ComfyUI is replaced, and what one forward needs is not kept for the next.

Legend: B pictures, N instances of the batch, L tokens.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from occlusionformer.layout import Layout
from occlusionformer.model import InstanceTexts, LayoutReport, PreparedLayouts
from occlusionformer.pipelines.maps import foreground_probability
from occlusionformer.pipelines.schedule import active_steps, level_between
from occlusionformer.tensors.grid import TokenGrid

from .branch_patcher import Branch
from .flux_model import LATENT_PIXELS, step_inputs, token_grid
from .hooks import with_hooks
from .sampled_masks import MaskLog, SampledMasks

KEY = "occlusionformer"
"""Under which wrappers, additional models and attachments are known to a ModelPatcher."""

POSITIVE = "positive"
"""ComfyUI's name of the conditioning that describes what is wanted."""

PACKINGS_KEPT = 4
"""Packed layouts by grid and rows: a run has one or two of them."""

Rows = tuple[int | None, ...]
"""For every picture of a forward the layout it gets; None where it gets none."""


@dataclass(kw_only=True)
class Run:
    """One run of a sampler: noise levels of its steps, conditionings that get the layout, size of the latents."""

    levels: list[float]
    positive: frozenset[uuid.UUID]
    size: tuple[int, int]
    masks: SampledMasks | None = None


@dataclass(kw_only=True, eq=False)
class LayoutPatch:
    """A branch with layouts, applied to a model: what the node `Apply OcclusionFormer` adds to it.

    layouts: one for all pictures of a batch, or one for each; texts: what the branch reads of each layout's instances,
    in the number format of the model. strength and grounding_ratio as in the package's pipeline.
    """

    branch: Branch
    layouts: tuple[Layout, ...]
    texts: tuple[InstanceTexts, ...]
    strength: float = 1.0
    grounding_ratio: float = 0.3
    want_masks: bool = False
    log: MaskLog = field(default_factory=MaskLog)
    key: str = field(default_factory=lambda: f"{KEY}.{uuid.uuid4().hex}")
    _packed: OrderedDict[Any, PreparedLayouts] = field(default_factory=OrderedDict)

    def run(
        self, executor: Any, noise: Tensor, latents: Tensor, sampler: Any, sigmas: Tensor, *rest: Any, **named: Any
    ) -> Any:
        """Around a sampler's run (ComfyUI's OUTER_SAMPLE)."""
        guider = executor.class_obj
        conditions = guider.conds.get(POSITIVE) or []
        run = Run(
            levels=sigmas[:-1].tolist(),
            positive=frozenset(condition["uuid"] for condition in conditions if "uuid" in condition),
            size=tuple(noise.shape[-2:]),
        )
        guider.model_options["transformer_options"][self.key] = run  # the guider's own copy, for this run
        output = executor(noise, latents, sampler, sigmas, *rest, **named)
        if self.want_masks:
            self.log.add(output, run.masks)
        return output

    def forward(  # noqa: PLR0913 (ComfyUI's arguments)
        self,
        executor: Any,
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        y: Tensor | None = None,
        guidance: Tensor | None = None,
        ref_latents: Any = None,
        control: Any = None,
        transformer_options: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> Any:
        """Around one forward of the model (ComfyUI's DIFFUSION_MODEL); x (B, C, height, width) latents."""
        options = {} if transformer_options is None else transformer_options
        run: Run | None = options.get(self.key)
        rows = self.rows(len(x), options, run)
        level = self._level(options, run)
        if not self._acts(rows, level, run):
            return executor(x, timestep, context, y, guidance, ref_latents, control, transformer_options, **rest)
        flux = executor.class_obj
        grid = token_grid(flux, x)
        self._check(x, grid, rows, run)
        tells = self.want_masks and run is not None and self._is_last(level, run)
        report = LayoutReport()
        prepared = replace(self.prepared(grid, rows, x), strength=self.strength, want_masks=tells, report=report)
        self.branch.on(x.device)
        inputs = step_inputs(flux, x, timestep, context, {"y": y, "guidance": guidance}, options)
        state = self.branch.method.open(prepared, inputs)
        shape = self.branch.method.shape
        options = with_hooks(options, state, flux, dual=shape.dual_blocks, single=shape.single_blocks)
        output = executor(x, timestep, context, y, guidance, ref_latents, control, options, **rest)
        if tells and state.mask_logits:
            state.tell(report)
            probability_NL = foreground_probability(report.mask_logits)
            pictures = len(x) // len(options.get("cond_or_uncond") or [0])
            run.masks = SampledMasks.of_rows(probability_NL, self.layouts, rows, grid, pictures=pictures)
        return output

    def rows(self, pictures: int, options: Mapping[str, Any], run: Run | None) -> Rows:
        """Which picture of a forward gets which layout: ComfyUI computes the conditionings of a step in one batch."""
        conditions: Sequence[int] = options.get("cond_or_uncond") or [0]
        batch = pictures // len(conditions)
        if len(self.layouts) not in (1, batch):
            raise ValueError(
                f"layout: expected one for all pictures or one for each of the {batch}, got {len(self.layouts)}"
            )
        of_batch = self.layouts * batch if len(self.layouts) == 1 else self.layouts
        places = [min(place, len(self.layouts) - 1) for place in range(len(of_batch))]
        names = options.get("uuids")
        if run is not None and run.positive and names is not None:
            wanted = [name in run.positive for name in names]
        else:
            wanted = [condition == 0 for condition in conditions]
        return tuple(
            place if is_wanted and self.layouts[place].instances else None for is_wanted in wanted for place in places
        )

    def _level(self, options: Mapping[str, Any], run: Run | None) -> float:
        """The noise level of a step, read from the device only where it matters; 1 otherwise."""
        if 0 < self.grounding_ratio < 1 or self.want_masks:
            if run is None or "sigmas" not in options:
                raise ValueError(
                    f"grounding_ratio: expected a sampler that tells its steps for anything but 0 and 1 (without "
                    f"masks), got {self.grounding_ratio}"
                )
            return float(options["sigmas"].max())
        return 1.0

    def _active(self, run: Run) -> int:
        return active_steps(self.grounding_ratio, len(run.levels))

    def _is_last(self, level: float, run: Run) -> bool:
        """Whether a step is the last with the layout; samplers may add a little noise to a step's own level."""
        active = self._active(run)
        return active == 1 or level <= level_between(run.levels, active - 1)

    def _acts(self, rows: Rows, level: float, run: Run | None) -> bool:
        if not self.strength or self.grounding_ratio <= 0 or all(row is None for row in rows):
            return False
        return self.grounding_ratio >= 1 or run is None or level > level_between(run.levels, self._active(run))

    def _check(self, x: Tensor, grid: TokenGrid, rows: Rows, run: Run | None) -> None:
        """ValueError where the pictures are not what the layouts were drawn for, TypeError for a number format."""
        if run is not None and tuple(x.shape[-2:]) != run.size:
            raise ValueError(
                f"layout: expected whole pictures of {_pixels(run.size)}, got parts of {_pixels(x.shape[-2:])}; "
                "conditioning areas and tiles cannot be combined with a layout"
            )
        for row in sorted({row for row in rows if row is not None}):
            layout = self.layouts[row]
            if not same_shape(layout, grid):
                raise ValueError(
                    f"layout: expected a picture of the shape {layout.width} x {layout.height} that it was drawn for, "
                    f"got {_pixels(x.shape[-2:])}"
                )
        if x.dtype != self.branch.dtype:
            raise TypeError(
                f"model: expected to compute in {self.branch.dtype} as when the layout was applied, got {x.dtype}"
            )

    def prepared(self, grid: TokenGrid, rows: Rows, x: Tensor) -> PreparedLayouts:
        """The layouts of a forward as tensors beside its latents x; packed once for each grid and division."""
        key = (grid, rows, x.device)
        if key not in self._packed:
            chosen = [row for row in rows if row is not None]
            pooled_NP = torch.cat([self.texts[row].pooled_NP for row in chosen])
            self._packed[key] = self.branch.method.prepare(
                [None if row is None else self.layouts[row] for row in rows],
                InstanceTexts(pooled_NP=pooled_NP),
                grid,
                device=x.device,
                dtype=x.dtype,
            )
            while len(self._packed) > PACKINGS_KEPT:
                self._packed.popitem(last=False)
        return self._packed[key]


def same_shape(layout: Layout, grid: TokenGrid) -> bool:
    """Whether a grid has the proportions of a layout's canvas, give or take a token for rounding."""
    return (
        abs(grid.width * layout.height / layout.width - grid.height) <= 1
        or abs(grid.height * layout.width / layout.height - grid.width) <= 1
    )


def _pixels(size: Sequence[int]) -> str:
    height, width = size
    return f"{width * LATENT_PIXELS} x {height * LATENT_PIXELS}"
