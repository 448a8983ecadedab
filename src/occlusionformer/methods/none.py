"""No layout method: every picture is the backbone's, whatever layout comes with it. For comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import register_to_config

from occlusionformer.layout import Layout
from occlusionformer.model.method import ForwardState, Method, Packer, PreparedLayouts, StepInputs
from occlusionformer.tensors.grid import TokenGrid


class NoLayout(Method):
    """The backbone alone."""

    name = "none"

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        # diffusers cannot load a module without any tensor.
        self.register_buffer("nothing", torch.zeros(1))

    def packer(self) -> Packer:
        """Nothing to pack."""
        return pack_nothing

    def open(self, prepared: PreparedLayouts, inputs: StepInputs) -> ForwardState:
        """Every block runs as the backbone would."""
        return ForwardState()

    def acts_on(self, prepared: PreparedLayouts) -> bool:
        """Never."""
        return False


def pack_nothing(layouts: Sequence[Layout | None], grid: TokenGrid) -> None:
    """The condition of a method that reads no layouts."""
