"""Trained weights of the small networks, and running them the same way everywhere.

Arrays: B windows, S side, C channels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import torch

from occlusionformer.data.engine.models.patches import PatchConfig, PatchNetwork
from occlusionformer.tensors.files import check_tensors, read_tensors

AT_ONCE = 32
"""Windows in a batch."""


class TrainedNetwork:
    """A network for inference. It runs in one thread, so that sums are equal on every executor."""

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
    """The packaged network of a kind, or one from a safetensors file. Raises CheckpointError if weights do not fit."""
    network = PatchNetwork(config)
    with as_file(_packaged(kind)) as packaged:
        file = packaged if path is None else Path(path)
        weights, _ = read_tensors(file)
    check_tensors(file, weights, {name: value.shape for name, value in network.state_dict().items()})
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    return TrainedNetwork(network, weights_revision(kind, path))


def weights_revision(kind: str, path: str | None) -> str:
    """Revision: the hash of the file that `trained` reads."""
    content = _packaged(kind).read_bytes() if path is None else Path(path).read_bytes()
    return hashlib.sha256(content).hexdigest()[:12]


def _packaged(kind: str) -> Traversable:
    return files("occlusionformer.data.engine.models") / "packaged" / f"{kind}.safetensors"


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
