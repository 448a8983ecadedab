"""Inception V3 for FID: the 2048 features before the last layer, of pictures resized as clean-fid does it."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from occlusionformer.evaluation.benchmark import QuestionKind
from occlusionformer.evaluation.judgement import (
    Identity,
    JudgeAnswer,
    JudgementError,
    JudgeRequest,
    JudgeUnavailableError,
)
from occlusionformer.evaluation.judges.weights import best_device, revision
from occlusionformer.pictures import as_rgb

SIDE = 299

Extractor = Callable[[Tensor], Tensor]
"""(B, 3, 299, 299) of 0 to 255 in, (B, features) out."""


class InceptionJudge:
    """Feature vectors of pictures, for FID."""

    kinds: frozenset[QuestionKind] = frozenset({"fid_features"})
    needs: frozenset[QuestionKind] = frozenset()
    parallel = 1

    def __init__(self, extract: Extractor, identity: Identity, *, device: torch.device) -> None:
        self._extract = extract
        self._device = device
        self.identity = identity

    @torch.inference_mode()
    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        features = self._extract(resized(picture)[None].to(self._device)).float().flatten().cpu()
        if not features.isfinite().all():
            raise JudgementError("error", "the network gave numbers that are none")
        return JudgeAnswer(answer=base64.b64encode(features.numpy().astype("<f4").tobytes()).decode())


def resized(picture: Image.Image) -> Tensor:
    """(3, 299, 299), 0 to 255: bicubic with smoothing, each channel in float, nothing rounded."""
    channels = [
        Image.fromarray(channel).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        for channel in np.array(as_rgb(picture), np.float32).transpose(2, 0, 1)
    ]
    return torch.from_numpy(np.stack([np.array(channel) for channel in channels]).clip(0, 255))


def scripted(path: str, device: torch.device) -> Extractor:
    """The network as a TorchScript file with `layers`, as NVIDIA publishes it and clean-fid reads it."""
    if not Path(path).is_file():
        raise JudgeUnavailableError(f"inception: expected a TorchScript file, got {path!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the published file has no other form
            network = torch.jit.load(path, map_location=device).eval()
    except RuntimeError as error:
        raise JudgeUnavailableError(f"{path}: expected TorchScript: {str(error).splitlines()[0]}") from error
    layers: nn.Module = getattr(network, "layers", network)
    return lambda pictures: layers((pictures - 128) / 128)


def packaged(device: torch.device) -> Extractor:
    """The network of torch-fidelity, which reads whole numbers: pictures are rounded after they are resized."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).to(device)
    return lambda pictures: network(pictures.round().byte())[0]


def load_inception(argument: str | None) -> InceptionJudge:
    """A TorchScript file; without an argument torch-fidelity's network, which downloads its weights."""
    device = best_device()
    settings = {"resize": "bicubic, float", "side": SIDE, "rounded": argument is None, "device": device.type}
    if argument is None:
        extract, model, version = packaged(device), "torch-fidelity", "weights-inception-2015-12-05-6726825d"
    else:
        extract, model, version = scripted(argument, device), Path(argument).name, revision(argument)
    identity: Identity = {"name": "inception", "model": model, "revision": version, "settings": settings}
    return InceptionJudge(extract, identity, device=device)
