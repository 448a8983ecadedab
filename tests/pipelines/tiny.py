"""Tiny real components: the classes of FLUX.1-dev with random weights, and tokenizers built on the spot."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from occlusionformer.layout import Box, FrontToBack, Instance, Layout
from occlusionformer.model import OcclusionBranch, backbone_shape, paper
from occlusionformer.pipelines import OcclusionFormerPipeline

WORDS = ["a", "the", "red", "blue", "green", "cat", "dog", "vase", "table", "ball", "cup", "lamp", "kitchen", "garden"]
SPECIALS = ["<pad>", "<unk>", "<start>", "<end>"]
TOKEN_LIMIT = 20


def tokenizer(*, starts: bool, limit: int = TOKEN_LIMIT) -> PreTrainedTokenizerFast:
    """Words to numbers; the end token has the largest number, as CLIP's pooling expects."""
    vocabulary = {word: index for index, word in enumerate(["<pad>", "<unk>", "<start>", *WORDS, "<end>"])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>" if starts else "$A <end>",
        special_tokens=[(name, vocabulary[name]) for name in ("<start>", "<end>")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", unk_token="<unk>", eos_token="<end>", model_max_length=limit
    )


def flux_components(
    *, guidance_embeds: bool = True, seed: int = 0, width: int = 32, latent_channels: int = 4
) -> dict[str, object]:
    """Everything FluxPipeline needs: 16 pixels a token, 2 dual and 2 single blocks; width: a multiple of 32."""
    torch.manual_seed(seed)
    vocabulary = len(WORDS) + len(SPECIALS)
    transformer = FluxTransformer2DModel(
        in_channels=4 * latent_channels,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=width // 2,
        num_attention_heads=2,
        joint_attention_dim=width,
        pooled_projection_dim=width,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(width // 8, 3 * width // 16, 3 * width // 16),
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4,) * 4,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.06,
        scaling_factor=1.5,
    )
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=37,
            num_attention_heads=2,
            num_hidden_layers=2,
            max_position_embeddings=TOKEN_LIMIT,
            projection_dim=width,
            bos_token_id=2,
            eos_token_id=vocabulary - 1,
            pad_token_id=0,
        )
    )
    t5 = T5EncoderModel(
        T5Config(vocab_size=vocabulary, d_model=width, d_ff=37, d_kv=8, num_layers=2, num_heads=2, pad_token_id=0)
    )
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        "vae": vae.eval(),
        "text_encoder": clip.eval(),
        "tokenizer": tokenizer(starts=True),
        "text_encoder_2": t5.eval(),
        "tokenizer_2": tokenizer(starts=False),
        "transformer": transformer.eval(),
    }


def tiny_branch(transformer: FluxTransformer2DModel, seed: int = 1) -> OcclusionBranch:
    """A branch with random weights everywhere, so that nothing in it is idle."""
    branch = OcclusionBranch.build(paper(backbone_shape(transformer)))
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in branch.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.3)
    return branch.eval()


def tiny_pipeline(*, guidance_embeds: bool = True, **settings: object) -> OcclusionFormerPipeline:
    components = flux_components(guidance_embeds=guidance_embeds)
    defaults = {"max_sequence_length": 24, "default_steps": 4, "default_grounding_ratio": 0.5, "default_size": 64}
    pipeline = OcclusionFormerPipeline(
        **components, branch=tiny_branch(components["transformer"]), **{**defaults, **settings}
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def stock_pipeline(pipeline: OcclusionFormerPipeline) -> FluxPipeline:
    """FluxPipeline over the very same components."""
    names = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "transformer")
    stock = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(pipeline.scheduler.config),
        **{name: getattr(pipeline, name) for name in names},
    )
    stock.set_progress_bar_config(disable=True)
    return stock


def two_overlapping(front: str = "cat", *, width: int = 96, height: int = 64, seed: int | None = None) -> Layout:
    """A cat and a dog whose boxes share the middle third of the canvas."""
    behind = {"cat": "dog", "dog": "cat"}[front]
    return Layout(
        prompt="a garden",
        width=width,
        height=height,
        seed=seed,
        instances=(
            Instance(id="cat", caption="a red cat", box=Box(0.0, 0.0, 2 / 3, 1.0)),
            Instance(id="dog", caption="a blue dog", category="dog", box=Box(1 / 3, 0.0, 1.0, 1.0)),
        ),
        order=FrontToBack(front_to_back=(front, behind)),
    )


def three_apart(front_to_back: tuple[str, ...] = ("cup", "lamp", "ball")) -> Layout:
    """Three instances that share no token."""
    return Layout(
        prompt="a table",
        width=96,
        height=64,
        instances=(
            Instance(id="cup", caption="a green cup", box=Box(0.0, 0.0, 1 / 3, 0.5)),
            Instance(id="lamp", caption="a lamp", box=Box(0.5, 0.5, 1.0, 1.0)),
            Instance(id="ball", caption="a red ball", box=Box(0.0, 0.5, 0.5, 1.0)),
        ),
        order=FrontToBack(front_to_back=front_to_back),
    )


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
