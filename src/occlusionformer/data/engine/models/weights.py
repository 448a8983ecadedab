"""Trained weights of the small networks, and running them the same way everywhere.

Arrays: B windows, S side, C channels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load

from occlusionformer.data.engine.models.patches import PatchConfig, PatchNetwork

AT_ONCE = 32
"""Windows that the network gets together."""


class TrainedNetwork:
    """A network that is only asked. One thread: the sums are the same on every executor."""

    def __init__(self, network: PatchNetwork, revision: str) -> None:
        self.network = network.eval()
        self.config = network.config
        self.revision = revision

    @torch.inference_mode()
    def __call__(self, windows_BSSC: np.ndarray) -> np.ndarray:
        with _one_thread():
            answers = [
                self.network(torch.from_numpy(windows_BSSC[start : start + AT_ONCE])).numpy()
                for start in range(0, len(windows_BSSC), AT_ONCE)
            ]
        return np.concatenate(answers)


def trained(kind: str, path: str | None, config: PatchConfig) -> TrainedNetwork:
    """The packaged network of a kind, or the weights of a safetensors file."""
    network = PatchNetwork(config)
    network.load_state_dict({name: tensor.float() for name, tensor in load(_content(kind, path)).items()})
    return TrainedNetwork(network, weights_revision(kind, path))


def weights_revision(kind: str, path: str | None) -> str:
    """Of the file that `trained` reads."""
    return hashlib.sha256(_content(kind, path)).hexdigest()[:12]


def _content(kind: str, path: str | None) -> bytes:
    packaged = files("occlusionformer.data.engine.models") / "packaged" / f"{kind}.safetensors"
    return packaged.read_bytes() if path is None else Path(path).read_bytes()


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
