"""Every number of a training run, with its reason. A recipe is a function that returns one of these."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from occlusionformer.data.world.scenes import WorldSpec
from occlusionformer.training.method_settings import MethodSettings, OcclusionFormerSettings, Settings


class ModelConfig(Settings):
    """Which model is trained, and which part of it."""

    family: Literal["embedded", "flux", "tiny"]
    """embedded: the small model of the package; flux: a FLUX.1 pipeline folder or hub id; tiny: a FLUX-shaped model of
    random weights for trials."""
    base: str | None = None
    """Folder or hub id of the FLUX pipeline."""
    init_from: str | None = None
    """packaged, or a folder with the parts as a run exports them: branch.safetensors, backbone.safetensors. A part that
    is trained and stored there starts from it; a frozen backbone of the small families has to be there."""
    init_parts: Literal["all", "backbone", "branch"] = "all"
    """Which parts are taken from there; backbone: a fresh method over a stored backbone."""
    codec: Path | None = None
    """Folder of the autoencoder of family embedded; null takes the packaged one."""
    looks_placed: bool = False
    """Of family embedded: what the prompt's objects look like lies in the picture at the places of composed scenes.
    Weights that have not learnt so begin with two heads that attend there."""
    captions_in_prompt: bool | None = None
    """Of family embedded: whether prompts name the instances beside the layout, as FLUX's do. null: without a layout
    method, which has nothing else to read."""
    train_backbone: bool
    method: MethodSettings = OcclusionFormerSettings()
    """The layout method, by name; `--set model.method=gligen` takes its defaults."""
    frozen_dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the parts that are not trained; what is trained stays float32."""
    guidance: float | None = None
    """Fed to a guidance-distilled backbone in training; None for one without."""

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if (self.family == "flux") != (self.base is not None):
            raise ValueError(f"base: expected a folder or hub id for family flux and null for others, got {self.base}")
        if self.looks_placed and self.family != "embedded":
            raise ValueError(f"looks_placed: expected false for family {self.family}, got true")
        if self.captions_in_prompt is not None and self.family != "embedded":
            got = str(self.captions_in_prompt).lower()
            raise ValueError(f"captions_in_prompt: expected null for family {self.family}, got {got}")
        return self


class DataConfig(Settings):
    """What is learned from."""

    source: Literal["world", "records"] = "world"
    """world: drawn scenes without end; records: a data set on disk; SA-Z becomes one by conversion, scenes by writing
    them down."""
    path: Path | None = None
    """Folder of the data set."""
    split: str = "train"
    images: Path | None = None
    """Folder of the pictures, for records that keep them elsewhere."""
    world: WorldSpec = WorldSpec()
    """Of source world; without width and height, batches have canvases of several shapes."""
    seed: int = Field(default=1, ge=0)
    """Names the series of scenes, and the order in which finite sources are shuffled."""
    count: int | None = Field(default=None, ge=1)
    """Only the first so many samples; null takes all there are, and scenes without end."""
    canvas: int = Field(ge=16, le=4096)
    """Side in pixels of the square canvas; with aspects, every canvas has about its area."""
    aspects: bool = False
    """Train every picture at the canvas nearest to its own shape rather than squeezed into a square."""
    aspect_step: int = Field(default=64, ge=16)
    """Sides of canvases are multiples of this; 64 at 1024 keeps the change of shape below 7%."""
    instance_buckets: tuple[int, ...] = ()
    """Upper ends of the groups of instance counts that share batches; empty puts all together."""
    background: bool = False
    """Declare the background too, as an instance behind all others that fills the canvas."""
    extent: Literal["amodal", "visible"] = "amodal"
    """visible: masks and boxes of what is seen alone, the paper's ablation."""
    dropped_order: float = Field(default=0.0, ge=0, le=1)
    """Share of samples whose order is kept from the model, so that layouts without an order stay known to it."""
    dropped_layout: float = Field(default=0.0, ge=0, le=1)
    """Share of samples, of those with few enough instances, whose layout is kept from the model: the prompt then names
    the instances, so that the backbone goes on drawing from text alone."""
    dropped_most: int = Field(default=4, ge=0)
    """Instances of a sample that can lose its layout; more would not fit into the prompt."""
    dropped_captions: float = Field(default=0.0, ge=0, le=1)
    """Share of samples whose prompt names the background alone, so that a backbone without a layout method knows
    pictures of which nothing else is said; none of composed scenes."""
    cache: Path | None = None
    """Folder where latents and texts are kept once encoded; needs pictures that do not change."""

    @model_validator(mode="after")
    def _fits(self) -> DataConfig:
        problems = []
        if (self.source != "records") != (self.path is None):
            problems.append(f"path: expected one for records alone, got {self.path} for {self.source}")
        if self.aspects and self.canvas % self.aspect_step:
            problems.append(f"canvas: expected a multiple of aspect_step, {self.aspect_step}, got {self.canvas}")
        if list(self.instance_buckets) != sorted(set(self.instance_buckets)):
            problems.append(f"instance_buckets: expected increasing numbers, got {list(self.instance_buckets)}")
        if self.cache is not None and self.count is None and self.source != "records":
            problems.append("cache: expected a finite count of scenes, got null")
        if self.cache is not None and (self.dropped_layout or self.dropped_captions):
            problems.append("cache: expected null where layouts or captions are dropped at random, got a folder")
        if problems:
            raise ValueError("\n".join(problems))
        return self


class ObjectiveConfig(Settings):
    """Rectified flow plus queried alignment."""

    align: Literal["query", "attention", "none"] = "query"
    """query: the paper's mask loss; attention: the same loss on attention maps, an ablation; none: another."""
    align_weight: float = Field(ge=0)
    """The paper's lambda. Its loss is a mean over instances, tokens and layout blocks."""
    time_mean: float = 0.0
    """Of the logit-normal times; more than 0 spends them near noise."""
    time_std: float = Field(default=1.0, gt=0)
    time_shift: float = Field(default=1.0, gt=0)
    """t -> s t / (1 + (s - 1) t), as samplers of large pictures do."""
    time_floor: float = Field(default=0.5, gt=0, le=1)
    """A model that predicts the picture is weighed by 1 / max(t, floor)^2; times below would take over the loss."""
    pure_noise: float = Field(default=0.0, ge=0, le=1)
    """Share of the pictures drawn from noise alone, as the first step of sampling does."""
    hidden_weight: float = Field(default=0.0, ge=0)
    """Weight, in tokens, of every object's visible part whatever its size, so that what little is seen of a hidden
    object counts as much as a whole one; 0: every token counts the same."""
    least_likeness: float = Field(default=1.0, ge=-1, le=1)
    """Captions' pooled vectors are turned away, towards others of the batch and anywhere, until their cosine to what
    they were is as low as this: a word never seen lies as far from those that were. 1: not at all."""
    fixed_noise: bool = False
    """Draw time and noise once for every sample instead of every time: what is left then can be learned by heart."""


class OptimizerConfig(Settings):
    """How weights move."""

    name: Literal["adamw", "muon"] = "adamw"
    """muon: orthogonalised momentum for the matrices of blocks, AdamW for the rest."""
    lr: float = Field(gt=0)
    muon_lr: float = Field(default=1.5e-3, gt=0)
    """Scaled by 0.2 sqrt(longer side), so that it compares with AdamW's."""
    muon_momentum: float = Field(default=0.95, ge=0, lt=1)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=0.01, ge=0)
    """On matrices alone."""
    clip: float = Field(default=1.0, gt=0)
    """Greatest norm of the gradient."""
    warmup: int = Field(default=0, ge=0)
    """Steps."""
    decay_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the steps, at the end, over which the rate falls linearly."""
    final_share: float = Field(default=0.01, ge=0, le=1)
    """What is left of the rate at the end of the decay."""
    ema: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the averaged weights that are exported; shorter while the run is young."""


class ExecutionConfig(Settings):
    """How a step is carried out; none of it changes what is learned, but for rounding."""

    accumulate: int = Field(default=1, ge=1)
    """Parts into which every process divides its share of a batch."""
    precision: Literal["auto", "no", "bf16", "fp16"] = "no"
    """auto: bf16 on GPUs that have it and on processors with AMX or AVX-512 bf16 instructions, float32 elsewhere."""
    gradient_checkpointing: bool = False
    workers: int = Field(default=1, ge=0)
    """Processes that prepare samples, for each training process."""
    prefetch: int = Field(default=4, ge=1)
    """Batches each worker keeps ready."""
    device: Literal["auto", "cpu"] = "auto"


class SavingConfig(Settings):
    """Checkpoints."""

    every: int = Field(ge=1)
    """Steps."""
    keep: int = Field(default=2, ge=1)
    last_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the last weights in what is exported; the rest are the averages."""


class LoggingConfig(Settings):
    """What is written down on the way."""

    every: int = Field(default=50, ge=1)
    """Steps between lines of figures."""
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)
    """Beside log.jsonl, which is always written."""
    probe_every: int = Field(ge=1)
    """Steps between looks at the probe set with averaged weights: is the control alive?"""
    probe_count: int = Field(default=64, ge=1)
    probe_seed: int = Field(default=2, ge=0)
    """Series of probe scenes; other sources keep their first samples for it."""
    pictures: int = Field(default=8, ge=0)
    """Probe samples that are drawn each time; 0 draws none."""
    picture_steps: int = Field(default=16, ge=1)


class RunConfig(Settings):
    """A training run. The same config, command and machine give the same weights."""

    recipe: str
    seed: int = Field(default=0, ge=0)
    """Of fresh weights, times and noise."""
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    """Samples in a step, over all processes and parts."""
    model: ModelConfig
    data: DataConfig
    objective: ObjectiveConfig
    optimizer: OptimizerConfig
    execution: ExecutionConfig = ExecutionConfig()
    saving: SavingConfig
    logging: LoggingConfig


class CodecConfig(Settings):
    """A run that trains the autoencoder. The same config, command and machine give the same weights."""

    recipe: Literal["codec"] = "codec"
    seed: int = Field(default=0, ge=0)
    steps: int = Field(default=20_000, ge=1)
    batch: int = Field(default=4, ge=1)
    crop: int = Field(default=128, ge=32, multiple_of=8)
    """Side in pixels of what is seen of a scene."""
    crops_per_scene: int = Field(default=2, ge=1)
    max_instances: int = Field(default=10, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    warmup: int = Field(default=50, ge=0)
    decay_share: float = Field(default=0.6, ge=0, le=1)
    """Share of the steps, at the end, over which the rate falls linearly to a hundredth."""
    latent_noise: float = Field(default=0.02, ge=0)
    """Deviation of the noise added to latents before they are decoded: a diffusion model will not hit them exactly."""
    latent_weight: float = Field(default=1e-4, ge=0)
    """Of the mean square of the latents, which keeps them near unit size."""
    square_weight: float = Field(default=5.0, ge=0)
    """Of the mean square error of pixels beside the absolute one: PSNR counts squares."""
    pairs: Path | None = None
    """A file of tools/redraw_latents.py: latents that a model drew, and the true pictures, for training the decoder."""
    pairs_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the crops that are taken from there; at least one crop of scenes stays."""
    steepness_weight: float = Field(default=3.0, ge=0)
    """Of the difference between local strengths of edges in these crops: without it unsure edges become soft."""
    grid_weight: float = Field(default=0.0, ge=0)
    """Of the difference between strengths of edges on the lines of the decoder's own grid, in these crops."""
    pixel_channels: int | None = Field(default=None, ge=0)
    """Channels of the decoder at the size of the picture; null: as many as the autoencoder it starts from."""
    init_from: Path | None = None
    """A folder of autoencoder weights, or a checkpoint of another run (its averaged weights), to start from."""
    trained: Literal["all", "decoder"] = "all"
    """The decoder alone can be trained on while others already learn the latents of its encoder."""
    ema: float = Field(default=0.999, ge=0, lt=1)
    precision: Literal["auto", "no", "bf16"] = "auto"
    """bf16 gains where the processor has bf16 instructions, as auto finds out; with channels last."""
    save_every: int = Field(default=500, ge=1)
    report_every: int = Field(default=200, ge=1)
    probe_scenes: int = Field(default=24, ge=1)
    """Held-out scenes at 256 pixels."""

    @model_validator(mode="after")
    def _fits(self) -> CodecConfig:
        problems = []
        if self.pairs is not None and self.trained != "decoder":
            problems.append(f"trained: expected decoder with pairs, whose latents are fixed, got {self.trained}")
        if self.pixel_channels in (1, 2):
            problems.append(f"pixel_channels: expected 0, or 3 or more for the colours, got {self.pixel_channels}")
        if self.trained == "decoder" and self.init_from is None:
            problems.append("init_from: expected the autoencoder whose decoder is trained, got null")
        if problems:
            raise ValueError("\n".join(problems))
        return self
