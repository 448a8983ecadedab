"""Latents and texts encoded once and kept on disk, in shards that a later run or another process can go on with.

Legend: L tokens, C channels of a token, S text tokens, E text width, P pooled width, K instances of one sample.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from occlusionformer.layout import write_atomic
from occlusionformer.model import InstanceTexts
from occlusionformer.tensors.files import CheckpointError, open_safetensors
from occlusionformer.training.config import RunConfig
from occlusionformer.training.encoder import Encoder
from occlusionformer.training.examples import Examples
from occlusionformer.training.sampler import Draw

SHARD = 64
"""Samples in a file; all of one canvas or not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """What the encoders made of one sample."""

    tokens_LC: Tensor
    prompt_SE: Tensor
    pooled_P: Tensor
    texts: InstanceTexts
    """What the method reads of the instances."""

    def named(self) -> dict[str, Tensor]:
        """The tensors there are, by name."""
        parts = {
            "tokens_LC": self.tokens_LC, "prompt_SE": self.prompt_SE, "pooled_P": self.pooled_P,
            "captions_KP": self.texts.pooled_NP, "captions_KSE": self.texts.sequence_NSE,
        }  # fmt: skip
        return {name: value.detach().cpu().contiguous().clone() for name, value in parts.items() if value is not None}


@dataclass(frozen=True)
class EncodedSamples:
    """A folder of shards; `origin` names everything the encodings depend on."""

    folder: Path
    origin: str
    _open: dict = field(default_factory=dict, repr=False, compare=False)

    def path(self, shard: int) -> Path:
        return self.folder / f"{shard:06}.safetensors"

    def __getitem__(self, draw: Draw) -> Encoded:
        """ValueError if the shard was made from other samples or by other encoders, CheckpointError if damaged."""
        shard = shard_of(draw)
        file = self._shard(shard)
        try:
            found = {name: file.get_tensor(f"{draw.index}.{name}") for name in self.held(file, draw)}
            return Encoded(
                tokens_LC=found["tokens_LC"],
                prompt_SE=found["prompt_SE"],
                pooled_P=found["pooled_P"],
                texts=InstanceTexts(pooled_NP=found.get("captions_KP"), sequence_NSE=found.get("captions_KSE")),
            )
        except (SafetensorError, KeyError) as error:
            raise CheckpointError(self.path(shard), [f"{draw.index}: {error}"]) from error

    @staticmethod
    def held(file: Any, draw: Draw) -> list[str]:
        """Names of the tensors that a shard holds of one sample."""
        prefix = f"{draw.index}."
        return [key.removeprefix(prefix) for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 (no mapping)

    def _shard(self, shard: int) -> Any:
        if shard not in self._open:
            file = open_safetensors(self.path(shard))
            found = (file.metadata() or {}).get("origin")
            if found != self.origin:
                raise ValueError(f"data.cache: {self.path(shard)}: expected encodings for these settings, got others")
            self._open[shard] = file
        return self._open[shard]

    def missing(self, draws: Sequence[Draw]) -> list[int]:
        """Shards that these samples need and that have yet to be written."""
        return [shard for shard in sorted({shard_of(draw) for draw in draws}) if not self.path(shard).is_file()]

    def __getstate__(self) -> dict:
        return {"folder": self.folder, "origin": self.origin, "_open": {}}

    def __setstate__(self, state: dict) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


def shard_of(draw: Draw) -> int:
    return draw.index // SHARD


def origin_of(config: RunConfig, pipeline_settings: dict[str, object]) -> str:
    """A digest of what encodings depend on: the data, the encoders and how texts are read."""
    data = config.data.model_dump(mode="json", exclude={"cache", "dropped_order", "instance_buckets"})
    values = {"data": data, "base": config.model.base, "family": config.model.family, **pipeline_settings}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def fill(
    cache: EncodedSamples, examples: Examples, encoder: Encoder, draws: Sequence[Draw], shards: Iterable[int]
) -> None:
    """Encode the samples of some shards; `draws` is the whole source. Every file appears whole."""
    cache.folder.mkdir(parents=True, exist_ok=True)
    members: dict[int, list[Draw]] = {shard: [] for shard in shards}
    for draw in draws:
        if shard_of(draw) in members:
            members[shard_of(draw)].append(draw)
    for shard, its_draws in members.items():
        tensors: dict[str, Tensor] = {}
        for draw in its_draws:
            encoded = _encode(examples, encoder, draw)
            tensors |= {f"{draw.index}.{name}": value for name, value in encoded.named().items()}
        write_atomic(cache.path(shard), save(tensors, metadata={"origin": cache.origin}))


@torch.no_grad()
def _encode(examples: Examples, encoder: Encoder, draw: Draw) -> Encoded:
    batch = examples.collate([examples[draw]])
    prompt, pooled = encoder.prompts(batch.prompts)
    dtype = encoder.pipeline.vae.dtype
    return Encoded(
        tokens_LC=encoder.tokens(batch.pixels_BCHW)[0].to(dtype),
        prompt_SE=prompt[0],
        pooled_P=pooled[0],
        texts=encoder.captions(batch.captions),
    )
