"""A ComfyUI that executes prompts without a server, over folders with tiny models in place of FLUX.1-dev."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.sd
import comfy.utils
import folder_paths
import numpy as np
import pytest
from comfy.ldm.models.autoencoder import AutoencoderKL
from PIL import Image

from occlusionformer.model import paper
from tests.comfy.comfyui import execution, nodes
from tests.comfy.tiny import branch, comfy_model, randomise, shape_of, texts, transformer
from tests.comfy.workflows import CLIP_L, T5

FILES = {
    "diffusion_models": ("flux1-dev.safetensors", "flux1-dev-kontext.safetensors"),
    "text_encoders": (CLIP_L, T5),
    "vae": ("ae.safetensors",),
}
"""What the workflows load: names in ComfyUI's folders, for files of which the loaders here take none."""


class Server:
    """What the executor tells its server."""

    client_id = "test"
    last_node_id: str | None = None
    last_prompt_id: str | None = None

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def send_sync(self, event: str, data: Any, _client: str | None = None) -> None:
        self.told.append((event, data))


def tiny_vae() -> Any:
    """ComfyUI's own autoencoder at a tiny size, 16 channels and 8 pixels a side."""
    sizes = {
        "double_z": True, "z_channels": 16, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 32,
        "ch_mult": [1, 1, 1, 1], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
    }  # fmt: skip
    autoencoder = AutoencoderKL(ddconfig=sizes, embed_dim=16)
    randomise(autoencoder, 7)
    made = comfy.sd.VAE(sd=autoencoder.state_dict(), config={"params": {"ddconfig": sizes, "embed_dim": 16}})
    made.latent_channels = 16
    return made


@contextmanager
def tiny_host(folder: Path) -> Iterator[Path]:
    """Folders with the names of real models and a tiny branch; loaders give tiny models. Yields the output folder."""
    stock = transformer()
    known = folder_paths.folder_names_and_paths
    before = {name: (list(paths), set(endings)) for name, (paths, endings) in known.items()}
    with pytest.MonkeyPatch.context() as changed:
        for kind, names in FILES.items():
            for name in names:
                (folder / kind).mkdir(parents=True, exist_ok=True)
                (folder / kind / name).touch()
            folder_paths.add_model_folder_path(kind, str(folder / kind))
        branch(paper(shape_of(stock))).save_pretrained(folder / "model_patches" / "occlusionformer")
        folder_paths.add_model_folder_path("model_patches", str(folder / "model_patches"))
        for kind in ("input", "output", "temp"):
            (folder / kind).mkdir()
            changed.setattr(folder_paths, f"{kind}_directory", str(folder / kind))
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "input" / "reference.png")
        changed.setattr(nodes.UNETLoader, "load_unet", lambda *_, **__: (comfy_model(stock),))
        changed.setattr(nodes.DualCLIPLoader, "load_clip", lambda *_, **__: (texts().clip,))
        changed.setattr(nodes.VAELoader, "load_vae", lambda *_, **__: (tiny_vae(),))
        folder_paths.filename_list_cache.clear()
        try:
            yield folder / "output"
        finally:
            known.update(before)
            folder_paths.filename_list_cache.clear()


def executed(prompt: dict[str, Any]) -> execution.PromptExecutor:
    """A prompt checked and executed as ComfyUI's queue does it; an error of it is raised."""
    valid, error, outputs, details = asyncio.run(execution.validate_prompt("test", prompt, None))
    assert valid, (error, details)
    cached = {"cache_type": execution.CacheType.CLASSIC, "cache_args": {"lru": 0, "ram": 0.0}}
    executor = execution.PromptExecutor(Server(), **cached)
    asyncio.run(executor.execute_async(prompt, "test", {}, outputs))
    if not executor.success:
        problem = next(data for event, data in executor.status_messages if event == "execution_error")
        raise AssertionError(f"{problem['node_type']}: {problem['exception_message']}")
    return executor
