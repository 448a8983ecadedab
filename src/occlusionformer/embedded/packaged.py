"""The model that ships with the package: where its files are, and what its pipeline takes by default. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
PIXELS_PER_TOKEN = 16
"""Side of a token: codecs make one latent position of 8 x 8 pixels, and Flux packs 2 x 2 positions into a token."""
TEXT_WIDTH = 256
LATENT_CHANNELS = 16
LOOK_PATCHES = 4
"""A side, of the picture by which the text table tells what an object looks like."""


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A small Flux-shaped model of drawn scenes."""

    weights: Path
    """Folder of backbone.safetensors and branch.safetensors."""
    text: Path
    """Folder of the text table and its tokenizer."""
    codec: Path
    """Folder of the autoencoder."""
    vocabulary: Path
    """Written by tools/rebuild_vocabulary.py from the art that the model is trained on."""
    canvas: int
    """Usual side of its pictures in pixels."""
    text_tokens: int
    """Of the prompt: its words, and what they look like where the table knows that."""
    look_start: int
    """The first of the prompt's tokens that tell so, with words before it, where they have places in the picture; else
    they follow the words."""
    num_heads: int
    steps: int
    shift: float
    """Static timestep shift of the sampler."""

    @property
    def token_channels(self) -> int:
        """Numbers in one token."""
        return 4 * LATENT_CHANNELS

    @property
    def folders(self) -> tuple[Path, ...]:
        """All that its pictures depend on."""
        return self.weights, self.text, self.codec


EMBEDDED = PackagedModel(
    weights=FOLDER / "weights",
    text=FOLDER / "text",
    codec=FOLDER / "autoencoder",
    vocabulary=FOLDER / "vocabulary.json",
    canvas=256,
    text_tokens=72,
    look_start=24,
    num_heads=6,
    steps=6,
    shift=2.0,
)
"""416 objects, many of them in colours, over latents of FLUX.1's geometry. It is trained on canvases of 192 to 320 a
side; the prompt names a background and up to four objects, or the background alone."""
