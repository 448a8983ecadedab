"""Quantised backbones draw with a layout, within the rounding that quantising itself brings.

What is not installed is skipped; the development tools bring gguf, and torchao is installed by hand.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import (
    BitsAndBytesConfig,
    FluxPipeline,
    FluxTransformer2DModel,
    GGUFQuantizationConfig,
    PipelineQuantizationConfig,
)
from diffusers.quantizers.bitsandbytes import BnB4BitDiffusersQuantizer
from peft import LoraConfig
from safetensors.torch import save_file
from torch import nn

from occlusionformer.model import BranchConfig, OcclusionBranch, backbone_shape, published
from occlusionformer.model.checkpoint import published_state
from occlusionformer.pipelines import OcclusionFormerPipeline
from tests.pipelines.quantising import INT8, KINDS, torchao, write_gguf
from tests.pipelines.tiny import flux_components, seeded, stock_pipeline, tiny_pipeline, two_overlapping

TIMES = 4
"""How much farther a picture with a layout may be from the unquantised one than a picture without."""


FLOAT_ROUNDING = 1e-4


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A stock FLUX folder."""
    folder = tmp_path_factory.mktemp("base")
    stock_pipeline(tiny_pipeline()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A published branch that fits it."""
    folder = tmp_path_factory.mktemp("checkpoint")
    write_published(random_branch(shape()), folder)
    return folder


def write_published(branch: OcclusionBranch, folder: Path) -> None:
    state = published_state(branch)
    save_file(state.layout, folder / "layout.safetensors")
    save_file(state.lora, folder / "lora.safetensors")


def shape():
    return published(backbone_shape(tiny_pipeline().transformer))


def random_branch(config: BranchConfig) -> OcclusionBranch:
    """Nothing in it is idle, and nothing so loud that rounding is drowned."""
    branch = OcclusionBranch.build(config).eval()
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in branch.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.2)
    return branch


def loaded(base: Path, checkpoint: Path, **arguments) -> OcclusionFormerPipeline:
    arguments = {"config": shape(), **arguments}
    pipeline = OcclusionFormerPipeline.from_published(base, checkpoint, **arguments)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def picture(pipeline: OcclusionFormerPipeline, *, strength: float) -> torch.Tensor:
    return pipeline(
        layout=two_overlapping(), generator=seeded(0), output_type="pt", strength=strength, grounding_ratio=1.0,
        num_inference_steps=3, max_sequence_length=24,
    ).images.float()  # fmt: skip


def style(pipeline: OcclusionFormerPipeline) -> None:
    """The user's LoRA, the same for every pipeline."""
    torch.manual_seed(5)
    layers = ["to_q", "to_k", "to_v", "proj_mlp", "net.2"]
    pipeline.transformer.add_adapter(LoraConfig(r=4, target_modules=layers, init_lora_weights=False))


@pytest.mark.parametrize("with_lora", [False, True], ids=["plain", "lora"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_layout_is_drawn_within_the_rounding_of_the_backbone(kind, with_lora, base, checkpoint):
    if with_lora and kind in ("quanto int8", "quanto float8"):
        pytest.skip("peft has no LoRA layer for those of quanto")
    whole, quantised = loaded(base, checkpoint), loaded(base, checkpoint, transformer=KINDS[kind](base))
    for pipeline in (whole, quantised) if with_lora else ():
        style(pipeline)
    if kind == "layerwise fp8":  # after the LoRA, whose layers would begin in the format of the others
        quantised.transformer.enable_layerwise_casting(torch.float8_e4m3fn, compute_dtype=torch.float32)
    rounding = (picture(quantised, strength=0.0) - picture(whole, strength=0.0)).abs()
    found = (picture(quantised, strength=1.0) - picture(whole, strength=1.0)).abs()
    layout = (picture(whole, strength=1.0) - picture(whole, strength=0.0)).abs()
    assert rounding.max() > 0, "nothing is quantised"
    assert found.max() <= TIMES * rounding.max()
    assert found.mean() < layout.mean() / 4, "what the layout does is lost in rounding"


@pytest.mark.parametrize("with_lora", [False, True], ids=["plain", "lora"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_weights_in_int8_draw_as_the_numbers_they_stand_for(with_lora, base, checkpoint):
    whole, quantised = (loaded(base, checkpoint, transformer=make(base)) for make in (KINDS["layerwise fp8"], INT8))
    layers = dict(whole.transformer.named_modules())
    for name, layer in quantised.transformer.named_modules():
        if isinstance(layer, nn.Linear) and type(layer.weight) is not nn.Parameter:
            layers[name].weight.data = layer.weight.dequantize()
    for pipeline in (whole, quantised) if with_lora else ():
        style(pipeline)
    torch.testing.assert_close(
        picture(quantised, strength=1.0), picture(whole, strength=1.0), atol=FLOAT_ROUNDING, rtol=0
    )


@pytest.mark.parametrize("kind", ["Int8WeightOnlyConfig", "Int8DynamicActivationInt8WeightConfig"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_quantisation_config_quantises_while_loading(kind, base, checkpoint):
    given = PipelineQuantizationConfig(quant_mapping={"transformer": torchao(kind)})
    pipeline = loaded(base, checkpoint, quantization_config=given, dtype=torch.bfloat16)
    assert pipeline.transformer.is_quantized
    assert pipeline.branch.dtype == torch.bfloat16
    assert torch.isfinite(picture(pipeline, strength=1.0)).all()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
class TestCallsOfTheReadme:
    """The README's calls for FLUX.1-dev in NF4 and from a GGUF file, with a folder like FLUX's, 64 channels wide."""

    @pytest.fixture(scope="class")
    def folders(self, tmp_path_factory) -> tuple[Path, Path, BranchConfig]:
        """A stock FLUX folder, a published branch, and what is smaller about it than the released one."""
        base, checkpoint = tmp_path_factory.mktemp("wide"), tmp_path_factory.mktemp("wide-checkpoint")
        pipeline = FluxPipeline(**flux_components(width=64, latent_channels=16))
        pipeline.save_pretrained(base)
        config = published(backbone_shape(pipeline.transformer))
        write_published(random_branch(config), checkpoint)
        return base, checkpoint, config

    def test_nf4(self, folders, monkeypatch):
        bitsandbytes = pytest.importorskip("bitsandbytes")
        base, checkpoint, config = folders
        if not torch.cuda.is_available():  # bitsandbytes also quantises on a CPU, which diffusers never asks it to
            monkeypatch.setattr(BnB4BitDiffusersQuantizer, "validate_environment", lambda self, *_, **__: None)
            monkeypatch.setattr(BnB4BitDiffusersQuantizer, "update_device_map", lambda self, given: {"": "cpu"})
        nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
        pipeline = loaded(
            base,
            checkpoint,
            config=config,
            quantization_config=PipelineQuantizationConfig(quant_mapping={"transformer": nf4}),
            dtype=torch.bfloat16,
        )
        weight = pipeline.transformer.transformer_blocks[0].attn.to_q.weight
        assert isinstance(weight, bitsandbytes.nn.Params4bit)
        assert weight.quant_state.quant_type == "nf4"
        self.check(pipeline, folders)

    def test_gguf(self, folders):
        base, checkpoint, config = folders
        gguf = FluxTransformer2DModel.from_single_file(
            write_gguf(base, "Q4_0"),
            quantization_config=GGUFQuantizationConfig(compute_dtype=torch.bfloat16),
            torch_dtype=torch.bfloat16,
            config=str(base),
            subfolder="transformer",
        )
        pipeline = loaded(base, checkpoint, config=config, transformer=gguf, dtype=torch.bfloat16)
        assert type(pipeline.transformer.transformer_blocks[0].attn.to_q.weight).__name__ == "GGUFParameter"
        self.check(pipeline, folders)

    @staticmethod
    def check(pipeline: OcclusionFormerPipeline, folders: tuple[Path, Path, BranchConfig]) -> None:
        """The layout does to the picture what it does without quantisation, up to the rounding to four bits."""
        base, checkpoint, config = folders
        assert {parameter.dtype for parameter in pipeline.branch.parameters()} == {torch.bfloat16}
        whole = loaded(base, checkpoint, config=config)
        found, expected = (
            (picture(one, strength=1.0) - picture(one, strength=0.0)).flatten() for one in (pipeline, whole)
        )
        assert torch.corrcoef(torch.stack([found, expected]))[0, 1] > 0.8


class TestArgumentsOfDiffusers:
    """What from_pretrained of diffusers takes, from_published takes too."""

    @pytest.mark.parametrize("keyword", ["dtype", "torch_dtype"])
    def test_number_formats(self, keyword, base, checkpoint):
        pipeline = loaded(base, checkpoint, **{keyword: torch.bfloat16})
        assert {part.dtype for part in pipeline.components.values() if isinstance(part, nn.Module)} == {torch.bfloat16}
        assert torch.isfinite(picture(pipeline, strength=1.0)).all()

    def test_both_spellings_at_once(self, base, checkpoint):
        with pytest.raises(ValueError, match=r"^dtype, torch_dtype: expected one of the two, got both$"):
            loaded(base, checkpoint, dtype=torch.bfloat16, torch_dtype=torch.float32)

    def test_a_format_for_each_component(self, base, checkpoint):
        formats = {"transformer": torch.float64, "branch": torch.float16, "default": torch.float32}
        pipeline = loaded(base, checkpoint, dtype=formats)
        assert (pipeline.transformer.dtype, pipeline.branch.dtype) == (torch.float64, torch.float16)
        assert pipeline.text_encoder.dtype == torch.float32

    def test_without_one_the_branch_follows_the_prompt(self, base, checkpoint, tmp_path):
        write_published(random_branch(shape()).to(torch.bfloat16), tmp_path)
        pipeline = loaded(base, tmp_path)
        assert pipeline.branch.dtype == pipeline.text_encoder_2.dtype == torch.float32
        assert torch.isfinite(picture(pipeline, strength=1.0)).all()

    def test_a_variant(self, checkpoint, tmp_path):
        stock_pipeline(tiny_pipeline()).save_pretrained(tmp_path, variant="fp16")
        assert torch.isfinite(picture(loaded(tmp_path, checkpoint, variant="fp16"), strength=1.0)).all()
        with pytest.raises(ValueError, match="variant=bf16"):
            loaded(tmp_path, checkpoint, variant="bf16")

    def test_a_device_map(self, base, checkpoint):
        pipeline = loaded(base, checkpoint, device_map="cpu")
        assert pipeline.hf_device_map == "cpu"
        assert pipeline.branch.device == pipeline.transformer.device
        torch.testing.assert_close(
            picture(pipeline, strength=1.0), picture(loaded(base, checkpoint), strength=1.0), atol=1e-5, rtol=0
        )

    def test_parts_that_are_given_or_left_out(self, base, checkpoint):
        whole = loaded(base, checkpoint)
        pipeline = loaded(base, checkpoint, vae=whole.vae, text_encoder_2=None, tokenizer_2=None)
        assert pipeline.vae is whole.vae
        assert pipeline.text_encoder_2 is None

    def test_what_only_the_hub_needs(self, checkpoint, monkeypatch):
        """A hub id goes to diffusers with everything that was said of it."""
        seen = {}

        def download(cls, name, **arguments):
            seen.update(arguments, name=name)
            raise OSError("no network here")

        monkeypatch.setattr(OcclusionFormerPipeline, "download", classmethod(download))
        arguments = {"token": "t", "cache_dir": "c", "revision": "r", "local_files_only": True, "variant": "fp16"}
        with pytest.raises(OSError, match="no network here"):
            loaded("black-forest-labs/FLUX.1-dev", checkpoint, **arguments)
        assert seen["name"] == "black-forest-labs/FLUX.1-dev"
        assert {name: seen[name] for name in arguments} == arguments
        assert seen["use_safetensors"] is True
