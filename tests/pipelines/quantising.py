"""Transformers of a FLUX folder with their weights in small formats, as users quantise them.

Each skips its test where its package is not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel, GGUFQuantizationConfig, TorchAoConfig
from diffusers.quantizers.quantization_config import QuantoConfig
from torch import nn


def torchao(kind: str) -> TorchAoConfig:
    quantization = pytest.importorskip("torchao.quantization")
    return TorchAoConfig(getattr(quantization, kind)())


def of_torchao(kind: str) -> Callable[[Path], FluxTransformer2DModel]:
    def transformer(base: Path) -> FluxTransformer2DModel:
        return FluxTransformer2DModel.from_pretrained(
            base / "transformer", quantization_config=torchao(kind), torch_dtype=torch.float32
        )

    return transformer


def of_quanto(kind: str) -> Callable[[Path], FluxTransformer2DModel]:
    def transformer(base: Path) -> FluxTransformer2DModel:
        pytest.importorskip("optimum.quanto")
        return FluxTransformer2DModel.from_pretrained(base / "transformer", quantization_config=QuantoConfig(kind))

    return transformer


def of_gguf(base: Path) -> FluxTransformer2DModel:
    return FluxTransformer2DModel.from_single_file(
        write_gguf(base, "Q8_0"),
        config=str(base),
        subfolder="transformer",
        quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32),
    )


def write_gguf(base: Path, kind: str) -> str:
    """A file of the transformer in one kind of quantisation, where its blocks of 32 fit."""
    gguf = pytest.importorskip("gguf")
    path = base / f"transformer-{kind}.gguf"
    writer = gguf.GGUFWriter(path, "flux")
    for name, value in FluxTransformer2DModel.from_pretrained(base / "transformer").state_dict().items():
        fits = value.ndim == 2 and value.shape[1] % 32 == 0
        chosen = gguf.GGMLQuantizationType[kind if fits else "F32"]
        writer.add_tensor(name, gguf.quants.quantize(value.numpy(), chosen), raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


def of_nf4(base: Path) -> FluxTransformer2DModel:
    """Layers of bitsandbytes in the place of linear ones: diffusers quantises to NF4 on accelerators alone."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    transformer = FluxTransformer2DModel.from_pretrained(base / "transformer")
    for parent in list(transformer.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and layer.in_features % 64 == 0:
                new = bitsandbytes.nn.Linear4bit(
                    layer.in_features, layer.out_features, compute_dtype=torch.float32, quant_type="nf4"
                )
                new.weight = bitsandbytes.nn.Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
                new.bias = layer.bias
                setattr(parent, name, new.to("cpu"))
    return transformer


INT8 = of_torchao("Int8WeightOnlyConfig")
KINDS: dict[str, Callable[[Path], FluxTransformer2DModel]] = {
    "torchao int8": INT8,
    "torchao int8 dynamic": of_torchao("Int8DynamicActivationInt8WeightConfig"),
    "quanto int8": of_quanto("int8"),
    "quanto float8": of_quanto("float8"),
    "gguf": of_gguf,
    "nf4": of_nf4,
    "layerwise fp8": lambda base: FluxTransformer2DModel.from_pretrained(base / "transformer"),
}
