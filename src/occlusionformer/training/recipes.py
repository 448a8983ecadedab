"""Recipes: functions that return the whole config of a run. Each says on what it runs, how long, and what to expect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

from occlusionformer.data.world.scenes import WorldSpec
from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.layout.problems import one_of
from occlusionformer.training.config import (
    CodecConfig,
    DataConfig,
    ExecutionConfig,
    LoggingConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimizerConfig,
    RunConfig,
    SavingConfig,
)
from occlusionformer.training.method_settings import NoMethodSettings, OcclusionFormerSettings
from occlusionformer.training.overrides import SettingsError

TINY_CANVAS = 16
"""Eight tokens a side."""


def paper() -> RunConfig:
    """The paper's recipe: FLUX.1-dev frozen, LoRA of rank 4 and branch trained on SA-Z.

    Hardware: 8 GPUs of 80 GB (two samples each), or 4 with `recipes/fsdp_flux.yaml`. Hours: not measured here; at one
    step in 4 seconds, 200,000 steps take 9 days.
    Expected (the paper's own figures on its complex split): mIoU 0.60, O-mIoU 0.35, Occ 0.78; the flow loss hardly
    moves, since the backbone is trained already: watch mask IoU, LoRA norm and order accuracy.

    From the paper: rank, steps, batch, learning rate, weight of the mask loss. Chosen here, since it does not say:
    AdamW with its usual betas, warm-up, EMA, bf16, times shifted by 3 as the sampler does at this size, guidance 1
    (a distilled backbone then keeps its own), cosine bounded below by 1e-3.
    """
    return RunConfig(
        recipe="paper",
        steps=200_000,
        batch=16,
        model=ModelConfig(
            family="flux",
            base="black-forest-labs/FLUX.1-dev",
            train_backbone=False,
            frozen_dtype="bfloat16",
            guidance=1.0,
        ),
        data=DataConfig(
            source="records",
            path="sa-z-records",
            canvas=1024,
            aspects=True,
            instance_buckets=(2, 4, 8, 16, 50),
        ),
        objective=ObjectiveConfig(align_weight=0.5, time_shift=3.0),
        optimizer=OptimizerConfig(lr=1e-4, warmup=1000, ema=0.9999),
        execution=ExecutionConfig(precision="bf16", gradient_checkpointing=True, workers=8),
        saving=SavingConfig(every=1000, keep=3),
        logging=LoggingConfig(probe_every=1000, probe_count=16, pictures=4, picture_steps=28),
    )


def embedded() -> RunConfig:
    """The embedded model from nothing: drawn scenes of 192 to 320 pixels a side, backbone and branch together.

    A tenth of the samples of up to four objects are drawn from their prompt alone. Hardware: one CPU core or a GPU; a
    core with AMX takes 8 images a second, one with bf16 instructions alone 3, an older one 1. Hours: 10 for a quarter
    million images on a core with AMX. Expected, measured over 26,352 images that went on from 28,136 of smaller
    canvases (experiments/scenes): probe error 0.22 to 0.13, at half noise 0.069 to 0.044, both still falling.
    """
    return RunConfig(
        recipe="embedded",
        steps=40_000,
        batch=16,
        model=ModelConfig(family="embedded", train_backbone=True, method=OcclusionFormerSettings(lora_rank=16)),
        data=DataConfig(
            source="world",
            canvas=EMBEDDED.canvas,
            world=WorldSpec(width=None, height=None, max_instances=12),
            dropped_order=0.05,
            dropped_layout=0.1,
        ),
        objective=ObjectiveConfig(align_weight=0.05, time_mean=0.8, time_floor=0.4, pure_noise=0.1),
        optimizer=OptimizerConfig(lr=1e-3, betas=(0.9, 0.98), warmup=300, decay_share=0.5, final_share=0.01, ema=0.999),
        execution=ExecutionConfig(precision="auto"),
        saving=SavingConfig(every=250),
        logging=LoggingConfig(every=50, probe_every=500, picture_steps=4),
    )


def embedded_finetune() -> RunConfig:
    """The packaged embedded weights trained on: a lower rate, all of it decaying; three tenths composed scenes.

    Hardware: one CPU core or a GPU. Hours: 3.5 for 100,000 images on a core with AMX. Expected: probe error starts at
    the packaged weights' (weights/origin.json) and falls; if it rises by more than a tenth in the first 500 steps, the
    rate is too high.
    """
    scratch = embedded()
    return scratch.model_copy(
        update={
            "recipe": "embedded-finetune",
            "steps": 6_250,
            "model": scratch.model.model_copy(update={"init_from": "packaged", "looks_placed": True}),
            "data": scratch.data.model_copy(
                update={"seed": 5, "world": replace(scratch.data.world, composed=0.3), "dropped_layout": 0.0}
            ),
            "optimizer": scratch.optimizer.model_copy(update={"lr": 2e-4, "decay_share": 1.0}),
        }
    )


def embedded_backbone() -> RunConfig:
    """The backbone of the embedded model alone: composed scenes from prompts that name a background and 1 to 3 objects.

    Every layout method starts from its weights. Hardware: one CPU core or a GPU. Hours: one of a core with bf16
    instructions for 44,800 images of 128 pixels; not known at the canvases of the recipe. Expected of these, from
    nothing, most of them from noise alone (`objective.pure_noise`): 0.9 of the objects that are found are recognised,
    see experiments/scenes.
    """
    joint = embedded()
    return joint.model_copy(
        update={
            "recipe": "embedded-backbone",
            "model": ModelConfig(family="embedded", train_backbone=True, looks_placed=True, method=NoMethodSettings()),
            "data": joint.data.model_copy(
                update={"world": replace(joint.data.world, max_instances=3, composed=1.0), "dropped_layout": 0.0}
            ),
            "objective": ObjectiveConfig(align="none", align_weight=0.0, time_mean=0.4, time_floor=0.3),
        }
    )


def overfit() -> RunConfig:
    """Eight scenes learned by heart: the paper's recipe (frozen backbone, LoRA and branch) on a tiny FLUX-shaped model.

    Hardware: one CPU core. Seconds: 30 to 60. Expected, with one time and noise fixed for every scene: the loss (flow
    and half the mask loss) falls from 2.00 to 0.15, the mean IoU of the objects' predicted masks rises from 0 to 0.98.
    The backbone's weights are random and stay so: what it adds is noise, and the branch has to carry the picture. So
    the background is declared too, as an instance behind all others, and the rate is far above the paper's.

    Other methods (`model.method`) learn with the same settings: from 1.66 instanceassemble comes to 0.10, eligen to
    0.005, creatilayout and gligen, which have more parameters, below 0.001. larender has nothing to learn and is
    refused.
    """
    return RunConfig(
        recipe="overfit",
        steps=160,
        batch=8,
        model=ModelConfig(family="tiny", train_backbone=False, guidance=1.0),
        data=DataConfig(
            source="world",
            canvas=TINY_CANVAS,
            world=WorldSpec(
                width=TINY_CANVAS,
                height=TINY_CANVAS,
                min_instances=2,
                max_instances=3,
                smallest=0.5,
                largest=0.85,
                apart_instances=2,
            ),
            count=8,
            background=True,
        ),
        objective=ObjectiveConfig(align_weight=0.5, fixed_noise=True),
        optimizer=OptimizerConfig(lr=6e-3, betas=(0.9, 0.95), clip=10.0, warmup=20, decay_share=0.5, ema=0.95),
        execution=ExecutionConfig(workers=0),
        saving=SavingConfig(every=160),
        logging=LoggingConfig(every=20, probe_every=160, probe_count=8, probe_seed=1, pictures=0),
    )


def codec() -> CodecConfig:
    """The autoencoder of the embedded model: crops of scenes, reconstructed.

    Hardware: one CPU core with bf16 instructions. Hours: about one.
    Expected: PSNR on held-out scenes 30 dB after 2,000 steps; the end is in the log beside the weights.
    """
    return CodecConfig()


RECIPES: MappingProxyType[str, Callable[[], RunConfig | CodecConfig]] = MappingProxyType(
    {
        "paper": paper,
        "embedded": embedded,
        "embedded-finetune": embedded_finetune,
        "embedded-backbone": embedded_backbone,
        "overfit": overfit,
        "codec": codec,
    }
)


def recipe(name: str) -> RunConfig | CodecConfig:
    """The config of a recipe by name; SettingsError lists the names there are."""
    if name not in RECIPES:
        raise SettingsError([f"recipe: expected {one_of(RECIPES)}, got {name!r}"])
    return RECIPES[name]()
