"""ComfyUI nodes for OcclusionFormer: layouts with a declared order on ComfyUI's own FLUX."""

from __future__ import annotations

from importlib.util import find_spec

from comfy_api.latest import ComfyExtension, io
from typing_extensions import override

WEB_DIRECTORY = "./web"


class OcclusionFormerExtension(ComfyExtension):
    """The nodes of this pack."""

    @override
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        if find_spec("occlusionformer") is None:
            raise ImportError("occlusionformer is not installed in ComfyUI's environment: pip install -e the clone")
        from .layout_nodes import LAYOUT_NODES
        from .model_nodes import MODEL_NODES

        return [*MODEL_NODES, *LAYOUT_NODES]


async def comfy_entrypoint() -> ComfyExtension:
    """What ComfyUI asks a node pack for."""
    return OcclusionFormerExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
