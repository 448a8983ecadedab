"""The models that ship with the package: where their files are, and what their pipelines take by default. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parent
PIXELS_PER_TOKEN = 16
"""Side of a token: codecs make one latent position of 8 x 8 pixels, and Flux packs 2 x 2 positions into a token."""
TEXT_WIDTH = 256
LATENT_CHANNELS = 16


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A small Flux-shaped model of one world of objects."""

    name: str
    """That of its training family."""
    world: Literal["first", "second"]
    """Whose objects it draws, as benchmarks name it."""
    weights: Path | None
    """Folder of backbone.safetensors and branch.safetensors; None while none are packaged."""
    text: Path
    """Folder of the text table and its tokenizer."""
    codec: Path | None
    """Folder of the autoencoder; None: tokens are pixels."""
    vocabulary: Path
    """Written by tools/rebuild_vocabulary.py from the art that the model is trained on."""
    canvas: int
    """Usual side of its pictures in pixels."""
    text_tokens: int
    """Of the prompt: its words, and what they look like where the table knows that."""
    num_heads: int
    steps: int
    shift: float
    """Static timestep shift of the sampler."""

    @property
    def token_channels(self) -> int:
        """Numbers in one token."""
        return 3 * PIXELS_PER_TOKEN**2 if self.codec is None else 4 * LATENT_CHANNELS

    @property
    def folders(self) -> tuple[Path, ...]:
        """All that its pictures depend on: weights, text and codec, those that there are."""
        return tuple(folder for folder in (self.weights, self.text, self.codec) if folder is not None)


FIRST = PackagedModel(
    name="embedded",
    world="first",
    weights=FOLDER / "weights",
    text=FOLDER / "text",
    codec=None,
    vocabulary=FOLDER / "vocabulary.json",
    canvas=128,
    text_tokens=16,
    num_heads=4,
    steps=2,
    shift=9.0,
)
"""123 objects. The prompt describes the background alone, objects are read from their captions.

Steps and shift: both steps are near noise, where the layout decides the picture. Measured on 2 x 60 complex scenes, 1
to 6 steps and shifts of 3.5 to 50: experiments/embedded/README.md. A token's 768 values do not fit the 256 channels of
the model, so that later steps, which should keep what is there already, lose some of it."""

SECOND = PackagedModel(
    name="scenes",
    world="second",
    weights=None,
    text=FOLDER / "scene_text",
    codec=FOLDER / "scene_autoencoder",
    vocabulary=FOLDER / "scene_vocabulary.json",
    canvas=256,
    text_tokens=72,
    num_heads=6,
    steps=4,
    shift=3.0,
)
"""416 objects, many of them in colours, over latents of FLUX.1's geometry. It is trained on canvases of 192 to 320 a
side; the prompt names a background and up to four objects, or the background alone."""

MODELS = (FIRST, SECOND)
DEFAULT = FIRST
"""What the name "embedded" means, and what commands draw with where no model is named."""


def of_world(world: str) -> PackagedModel:
    """The model that draws a world. Raises ValueError for a world that there is not."""
    for model in MODELS:
        if model.world == world:
            return model
    raise ValueError(f"world: expected one of {', '.join(model.world for model in MODELS)}, got {world!r}")
