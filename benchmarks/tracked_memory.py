"""Memory of a forward without running it: tensors without numbers are counted while they live."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Bytes of the storages that operators have made and nobody has let go of, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        output = func(*args, **(kwargs or {}))
        given = {storage._cdata for storage in storages(args, kwargs)}
        for storage in storages(output):
            if storage._cdata not in given and storage._cdata not in self._known:
                self._take(storage)
        return output

    def _take(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def storages(*values: Any) -> list[torch.UntypedStorage]:
    return [value.untyped_storage() for value in tree_iter(values) if isinstance(value, torch.Tensor)]


def peak_of(make: Callable[[], Callable[[], object]]) -> int:
    """Bytes at the height of a call beyond what it is given; `make` builds it, weights and inputs, without numbers."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        call = make()
        with LiveBytes() as live:
            call()
    return live.peak
