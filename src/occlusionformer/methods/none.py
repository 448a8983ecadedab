"""No layout method: every picture is the backbone's, whatever layout comes with it. For comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import register_to_config

from occlusionformer.layout import Layout
from occlusionformer.model.method import ForwardState, InstanceTexts, Method, PreparedLayouts, StepInputs
from occlusionformer.tensors.grid import TokenGrid


class NoLayout(Method):
    """The backbone alone."""

    name = "none"

    @register_to_config
    def __init__(self) -> None:
        super().__init__()

    def prepare(
        self,
        layouts: Sequence[Layout | None],
        texts: InstanceTexts,
        grid: TokenGrid,
        *,
        device: torch.device | str,
        dtype: torch.dtype,
    ) -> PreparedLayouts:
        """Nothing to prepare; any texts do."""
        return PreparedLayouts(
            method=self, condition=None, layouts=tuple(layouts), texts=texts, grid=grid, dtype=dtype
        ).to(device)

    def open(self, prepared: PreparedLayouts, inputs: StepInputs) -> ForwardState:
        """Never called: there is nothing it acts on."""
        return ForwardState()

    def acts_on(self, prepared: PreparedLayouts) -> bool:
        """Never."""
        return False
