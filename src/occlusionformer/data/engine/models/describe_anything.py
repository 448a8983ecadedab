"""Captions by DescribeAnything, which looks at the whole picture and, closer, at the masked part.

Needs the package `dam` (github.com/NVlabs/describe-anything) and a GPU. The weights `nvidia/DAM-3B` are under NVIDIA's
licence for non-commercial use.
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from occlusionformer.data.engine.models.protocol import MaskedPicture

WEIGHTS = "nvidia/DAM-3B"
QUERY = "<image>\nDescribe the masked region in one short phrase."
TEMPERATURE, TOP_P = 0.2, 0.9
"""Those of the published demonstration. SA-Z does not say what it was made with."""
MAX_NEW_TOKENS = 64
"""A phrase has some twenty; the demonstration, which writes paragraphs, allows 512."""
SEED = 0


class Describer(Protocol):
    """Interface of the package's `DescribeAnythingModel`."""

    def get_description(
        self,
        image_pil: Image.Image,
        mask_pil: Image.Image,
        query: str,
        *,
        temperature: float,
        top_p: float,
        num_beams: int,
        max_new_tokens: int,
    ) -> str: ...


def load(argument: str | None) -> DescribeAnything:
    """`describe-anything:NAME@REVISION` of the Hugging Face hub, or `describe-anything:FOLDER`."""
    revision = revision_of(argument)
    name, _, pinned = (argument or "").partition("@")
    try:
        dam = import_module("dam")
    except ModuleNotFoundError as error:
        if error.name != "dam":
            raise
        raise RuntimeError("dam is not installed; it comes from github.com/NVlabs/describe-anything") from None
    torch = import_module("torch")
    folder = import_module("huggingface_hub").snapshot_download(name, revision=pinned) if pinned else name
    dam.disable_torch_init()
    model = dam.DescribeAnythingModel(model_path=folder, conv_mode="v1", prompt_mode="full+focal_crop")
    return DescribeAnything(model.to("cuda" if torch.cuda.is_available() else "cpu"), revision=revision)


def revision_of(argument: str | None) -> str:
    """The revision named in the argument, or the hash of a folder's configuration."""
    name, _, pinned = (argument or "").partition("@")
    config = Path(name) / "config.json"
    if pinned:
        return f"{name}@{pinned}"
    if not name or not config.is_file():
        raise ValueError(
            f"model: expected describe-anything:{WEIGHTS}@REVISION or a folder of weights, got {argument!r}"
        )
    return hashlib.sha256(config.read_bytes()).hexdigest()[:12]


class DescribeAnything:
    """One call for every instance; the sampling starts anew for each, so that a picture's captions never change."""

    def __init__(self, model: Describer, *, revision: str) -> None:
        self.model = model
        self.revision = revision

    def captions(self, view: MaskedPicture) -> list[str]:
        picture = Image.fromarray(view.image)
        return [self._described(picture, mask_HW) for mask_HW in view.masks]

    def _described(self, picture: Image.Image, mask_HW: np.ndarray) -> str:
        torch: Any = import_module("torch")
        mask = Image.fromarray(mask_HW.astype(np.uint8) * 255)
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            text = self.model.get_description(
                picture,
                mask,
                QUERY,
                temperature=TEMPERATURE,
                top_p=TOP_P,
                num_beams=1,
                max_new_tokens=MAX_NEW_TOKENS,
            )
        if not text.strip():
            raise ValueError("expected a description, got none")
        return text.strip()
