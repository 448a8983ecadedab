"""Train the embedded weights from scratch on layered scenes; one process, one plain loop, exact resume.

    python experiments/embedded/train.py --out runs/embedded --images 100000

Stops at --images or, with a checkpoint, at any signal; run again to go on. See README.md here for what to expect.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import FluxPipeline, FluxTransformer2DModel
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from occlusionformer.data.artwork import packaged_art
from occlusionformer.data.scenes import Scene, SceneSpec, make_scene
from occlusionformer.embedded.config import (
    BACKBONE,
    CANVAS,
    PIXELS_PER_TOKEN,
    SHIFT,
    STEPS,
    TEXT_TOKENS,
    embedded_branch,
)
from occlusionformer.embedded.text import StaticTextModel, packaged_text_model, packaged_tokenizer
from occlusionformer.model import FluxInputs, LayoutCondition, LayoutFlux, OcclusionBranch, condition
from occlusionformer.tensors import flow
from occlusionformer.tensors.alignment import mask_cross_entropy
from occlusionformer.tensors.grid import TokenGrid, area_coverage
from occlusionformer.tensors.packing import MIN_COVERAGE, InstanceGeometry
from occlusionformer.training.trainee import initialise

GRID = TokenGrid.from_pixels(CANVAS, CANVAS)
TRAIN_SEED, PROBE_SEED = 1, 2


@dataclass(frozen=True, kw_only=True)
class Settings:
    images: int
    batch: int = 8
    lr: float = 1.2e-3
    warmup: int = 300
    decay_share: float = 0.1
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.9993
    time_mean: float = 1.5
    time_std: float = 1.0
    time_floor: float = 0.5
    align: float = 0.05
    dropped_order: float = 0.05
    caption_noise: float = 0.0
    """Deviation of what is added to the captions' vectors (entries of unit variance), so that words never seen are
    read as those beside them."""
    seed: int = 0


@dataclass(frozen=True)
class Example:
    pixels: Tensor
    geometry: InstanceGeometry
    captions: list[str]
    prompt: str
    mask_KL: Tensor
    visible_KL: Tensor


class Examples(Dataset):
    """Scenes by index, with geometry and token masks ready."""

    def __init__(self, seed: int, first: int, count: int) -> None:
        self.seed, self.first, self.count = seed, first, count
        self.spec, self.art = SceneSpec(size=CANVAS), packaged_art()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> Example:
        return example(make_scene(self.first + position, seed=self.seed, spec=self.spec, art=self.art))


def example(scene: Scene) -> Example:
    boxes = torch.tensor([item.box for item in scene.instances], dtype=torch.float64)
    area = area_coverage(boxes, GRID)
    attends = area >= MIN_COVERAGE
    rank = torch.tensor(np.argsort(scene.back_to_front))
    pixels = torch.from_numpy(scene.image).float().permute(2, 0, 1) / 127.5 - 1
    captions = [item.caption for item in scene.instances]
    return Example(
        pixels=pixels,
        geometry=InstanceGeometry(
            box_K4=boxes,
            attends_KL=attends,
            coverage_KL=torch.where(attends, area, 0.0),
            in_front_KK=rank[None, :] > rank[:, None],
            opacity_K=torch.ones(len(boxes)),
            ordered=True,
        ),
        captions=captions,
        prompt=", ".join([scene.prompt, *captions]),
        mask_KL=token_share(np.stack([item.amodal for item in scene.instances])),
        visible_KL=token_share(np.stack([item.visible for item in scene.instances])),
    )


def token_share(mask_KHW: np.ndarray) -> Tensor:
    pooled = F.avg_pool2d(torch.from_numpy(mask_KHW).float()[:, None], PIXELS_PER_TOKEN)
    return pooled.flatten(1)


def patches(pixels_BCHW: Tensor) -> Tensor:
    """Pixels to tokens exactly as the pipeline makes them: codec, then Flux's packing."""
    latent = F.pixel_unshuffle(pixels_BCHW, 8)
    batch, channels, height, width = latent.shape
    return FluxPipeline._pack_latents(latent, batch, channels, height, width)


class Text:
    """Cached encodings by the packaged static table."""

    def __init__(self) -> None:
        self.tokenizer, self.model = packaged_tokenizer(), packaged_text_model()
        self.pooled_cache: dict[str, Tensor] = {}

    @torch.no_grad()
    def pooled(self, texts: list[str]) -> Tensor:
        for text in texts:
            if text not in self.pooled_cache:
                self.pooled_cache[text] = encode(self.tokenizer, self.model, [text]).pooler_output[0]
        return torch.stack([self.pooled_cache[text] for text in texts])

    @torch.no_grad()
    def both(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        out = encode(self.tokenizer, self.model, texts)
        return out.last_hidden_state, out.pooler_output


def encode(tokenizer, model: StaticTextModel, texts: list[str]):
    ids = tokenizer(texts, padding="max_length", max_length=TEXT_TOKENS, truncation=True, return_tensors="pt").input_ids
    return model(ids)


class Model(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = FluxTransformer2DModel(**BACKBONE)
        self.branch = OcclusionBranch.build(embedded_branch())
        initialise(self.backbone, self.branch)
        self.both = LayoutFlux(self.backbone, self.branch)
        self.text_ids = torch.zeros(TEXT_TOKENS, 3)
        self.image_ids = FluxPipeline._prepare_latent_image_ids(1, GRID.height, GRID.width, "cpu", torch.float32)

    def forward(self, noisy, time_B, words: tuple[Tensor, Tensor], layout: LayoutCondition, masks: bool = False):
        inputs = FluxInputs(
            hidden_states=noisy,
            encoder_hidden_states=words[0],
            pooled_projections=words[1],
            timestep=time_B,
            img_ids=self.image_ids,
            txt_ids=self.text_ids,
        )
        return self.both(inputs, layout, return_masks=masks)


def batch_loss(model: Model, text: Text, batch: list[Example], settings: Settings, step: int):
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    clean = patches(torch.stack([item.pixels for item in batch]))
    time_B = flow.sample_timesteps(len(batch), mean=settings.time_mean, std=settings.time_std, generator=generator)
    noise = torch.randn(clean.shape, generator=generator)
    noisy = flow.interpolate(clean, noise, time_B)
    layout = condition_of(batch, text, model)
    if settings.caption_noise:
        blur_NP = settings.caption_noise * torch.randn(layout.text_NP.shape, generator=generator)
        layout = replace(layout, text_NP=layout.text_NP + blur_NP)
    out = model(noisy, time_B, text.both([item.prompt for item in batch]), layout, masks=True)
    weight_B = time_B.clamp_min(settings.time_floor) ** -2
    flow_loss = ((out.sample - clean).square().mean((1, 2)) * weight_B).mean()
    target = torch.cat([item.mask_KL for item in batch])
    align = torch.stack([mask_cross_entropy(logits, target).mean() for logits in out.mask_logits]).mean()
    return flow_loss + settings.align * align, flow_loss.detach(), align.detach()


def condition_of(batch: list[Example], text: Text, model: Model) -> LayoutCondition:
    captions = [caption for item in batch for caption in item.captions]
    return condition(
        [item.geometry for item in batch],
        text.pooled(captions),
        grid=GRID,
        config=model.branch.shape,
        device="cpu",
        dtype=torch.float32,
    )


@torch.no_grad()
def probe(model: Model, text: Text, batch: list[Example]) -> float:
    """Mean squared error inside fully visible instance tokens of the prediction from pure noise."""
    generator = torch.Generator().manual_seed(7)
    clean = patches(torch.stack([item.pixels for item in batch]))
    noise = torch.randn(clean.shape, generator=generator)
    time_B = torch.ones(len(batch))
    out = model(noise, time_B, text.both([item.prompt for item in batch]), condition_of(batch, text, model))
    seen = torch.stack([item.visible_KL.amax(0) > 0.99 for item in batch])
    return float((out.sample - clean).square().mean(-1)[seen].mean())


@torch.no_grad()
def sample(model: Model, text: Text, batch: list[Example], steps: int = STEPS, shift: float = SHIFT) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    x = torch.randn((len(batch), GRID.num_tokens, BACKBONE["in_channels"]), generator=generator)
    words, layout = text.both([item.prompt for item in batch]), condition_of(batch, text, model)
    sigma = torch.linspace(1, 1 / steps, steps)
    sigma = torch.cat([shift * sigma / (1 + (shift - 1) * sigma), torch.zeros(1)])
    for now, after in pairwise(sigma):
        time_B = now.expand(len(batch))
        velocity = flow.velocity_from_sample(x, model(x, time_B, words, layout).sample, time_B)
        x = x + (after - now) * velocity
    latent = FluxPipeline._unpack_latents(x, CANVAS, CANVAS, 8)
    return F.pixel_shuffle(latent, 8)


def reversed_order(item: Example) -> Example:
    return replace(item, geometry=replace(item.geometry, in_front_KK=item.geometry.in_front_KK.T))


def picture(path: Path, rows: list[Tensor]) -> None:
    strips = [torch.cat(list(row), -1) for row in rows]
    array = ((torch.cat(strips, -2).clamp(-1, 1) + 1) * 127.5).byte().permute(1, 2, 0).numpy()
    Image.fromarray(array).save(path)


def learning_rate(step: int, total: int, settings: Settings) -> float:
    left = (total - step) / (settings.decay_share * total)
    return settings.lr * min(1.0, (step + 1) / settings.warmup, max(left, 0.01))


def save_atomically(path: Path, save) -> None:
    temporary = path.with_suffix(".writing")
    save(temporary)
    os.replace(temporary, path)


class Run:
    """Everything that a checkpoint carries."""

    def __init__(self, settings: Settings, out: Path) -> None:
        self.settings, self.out = settings, out
        self.model = Model(settings.seed)
        self.ema = {name: value.detach().clone() for name, value in self.model.named_parameters()}
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=True)
        self.step = 0

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        save_atomically(self.out / "checkpoint.pt", lambda path: torch.save(state, path))

    def load(self) -> bool:
        path = self.out / "checkpoint.pt"
        if not path.is_file():
            return False
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema, self.step = state["ema"], state["step"]
        self.optimizer.load_state_dict(state["optimizer"])
        return True

    @torch.no_grad()
    def update_ema(self) -> None:
        decay = min(self.settings.ema, (self.step + 1) / (self.step + 10))
        for name, value in self.model.named_parameters():
            self.ema[name].lerp_(value, 1 - decay)

    def with_ema(self) -> Iterator[Model]:
        kept = {name: value.detach().clone() for name, value in self.model.named_parameters()}
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                value.copy_(self.ema[name])
        yield self.model
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                value.copy_(kept[name])

    def export(self) -> None:
        """EMA weights as the package stores them."""
        for prefix in ("backbone", "branch"):
            tensors = {
                n.removeprefix(f"{prefix}."): v.contiguous() for n, v in self.ema.items() if n.startswith(f"{prefix}.")
            }
            save_atomically(self.out / f"{prefix}.safetensors", lambda path, t=tensors: save_file(t, path))


def report(run: Run, text: Text, probes: list[Example], log, speed: float, losses: list[Tensor]) -> None:
    for model in run.with_ema():
        line = {
            "step": run.step,
            "images": run.step * run.settings.batch,
            "speed": round(speed, 2),
            "flow": round(float(torch.stack([loss[0] for loss in losses]).mean()), 5),
            "align": round(float(torch.stack([loss[1] for loss in losses]).mean()), 5),
            "probe": round(probe(model, text, probes), 5),
        }
        shown = probes[:10]
        picture(
            run.out / "samples.png",
            [
                torch.stack([item.pixels for item in shown]),
                sample(model, text, shown),
                sample(model, text, [reversed_order(item) for item in shown]),
            ],
        )
    log.write(json.dumps(line) + "\n")
    log.flush()
    print(json.dumps(line), flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--caption-noise", type=float, default=0.0)
    parser.add_argument("--report-every", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = Settings(images=arguments.images, caption_noise=arguments.caption_noise)
    run = Run(settings, arguments.out)
    run.load()
    text = Text()
    probes = [Examples(PROBE_SEED, 0, 64)[i] for i in range(64)]
    total = settings.images // settings.batch
    data = Examples(TRAIN_SEED, run.step * settings.batch, (total - run.step) * settings.batch)
    loader = DataLoader(
        data, batch_size=settings.batch, num_workers=arguments.workers, collate_fn=list, prefetch_factor=8
    )
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    started, first, losses = time.monotonic(), run.step, []
    with (arguments.out / "log.jsonl").open("a") as log:
        for batch in loader:
            for group in run.optimizer.param_groups:
                group["lr"] = learning_rate(run.step, total, settings)
            loss, *parts = batch_loss(run.model, text, batch, settings, run.step)
            losses.append(parts)
            run.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip)
            run.optimizer.step()
            run.step += 1
            run.update_ema()
            if run.step % arguments.report_every == 0 or run.step == total or stopping:
                speed = (run.step - first) * settings.batch / (time.monotonic() - started)
                report(run, text, probes, log, speed, losses)
                run.save()
                run.export()
                losses = []
            if stopping:
                break


if __name__ == "__main__":
    main()
