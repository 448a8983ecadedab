"""ComfyUI nodes for OcclusionFormer: layouts with a declared order on ComfyUI's own FLUX."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io
from typing_extensions import override

WEB_DIRECTORY = "./web"


class OcclusionFormerExtension(ComfyExtension):
    """The nodes of this pack."""

    @override
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from .layout_nodes import LAYOUT_NODES
        from .model_nodes import MODEL_NODES

        return [*MODEL_NODES, *LAYOUT_NODES]


async def comfy_entrypoint() -> ComfyExtension:
    """What ComfyUI asks a node pack for."""
    return OcclusionFormerExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
