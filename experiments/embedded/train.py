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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing
import torch.nn.functional as F
from diffusers import FluxPipeline
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, distributed, nn
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
from occlusionformer.layout import Box, FrontToBack, Instance, Layout
from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.model import InstanceTexts, LayoutFluxTransformer2DModel, PreparedLayouts
from occlusionformer.tensors import flow
from occlusionformer.tensors.alignment import mask_cross_entropy
from occlusionformer.tensors.grid import TokenGrid
from occlusionformer.training.pictures import reversed_layout
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
    least_likeness: float = 1.0
    """Captions' vectors are turned away from what they are, towards random words and anywhere, until the cosine is as
    low as this: a word never seen lies as far from those that were, and is to be read as the nearest of them. 1: not
    at all."""
    few: float = 1.5
    """Power of the count of objects (SceneSpec.few): below 1 crowded scenes are the most frequent."""
    hidden: float = 0.0
    """Weight, in tokens, that is given to every object's visible part whatever its size, so that what little is seen
    of a hidden object counts as much as a whole one. 0: every token counts the same."""
    pure_noise: float = 0.0
    """Share of the pictures drawn from noise alone, as the first step of sampling does."""
    seed: int = 0


@dataclass(frozen=True)
class Example:
    pixels: Tensor
    layout: Layout
    captions: list[str]
    prompt: str
    mask_KL: Tensor
    visible_KL: Tensor


class Examples(Dataset):
    """Scenes by index, with layouts and token masks ready."""

    def __init__(self, seed: int, indices: Sequence[int], few: float = 1.5) -> None:
        self.seed, self.indices = seed, indices
        self.spec, self.art = SceneSpec(size=CANVAS, few=few), packaged_art()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Example:
        return example(make_scene(self.indices[position], seed=self.seed, spec=self.spec, art=self.art))


def example(scene: Scene) -> Example:
    names = [str(index) for index in range(len(scene.instances))]
    pixels = torch.from_numpy(scene.image).float().permute(2, 0, 1) / 127.5 - 1
    captions = [item.caption for item in scene.instances]
    return Example(
        pixels=pixels,
        layout=Layout(
            prompt=scene.prompt,
            width=CANVAS,
            height=CANVAS,
            instances=tuple(
                Instance(id=name, caption=item.caption, box=Box(*item.box))
                for name, item in zip(names, scene.instances, strict=True)
            ),
            order=FrontToBack(front_to_back=tuple(names[index] for index in reversed(scene.back_to_front))),
        ),
        captions=captions,
        prompt=scene.prompt,
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
        self.backbone = LayoutFluxTransformer2DModel(**BACKBONE)
        self.branch = OcclusionFormer.build(embedded_branch())
        initialise(self.backbone, self.branch)
        self.text_ids = torch.zeros(TEXT_TOKENS, 3)
        self.image_ids = FluxPipeline._prepare_latent_image_ids(1, GRID.height, GRID.width, "cpu", torch.float32)

    def forward(
        self, noisy: Tensor, time_B: Tensor, words: tuple[Tensor, Tensor], layout: PreparedLayouts, masks: bool = False
    ) -> Tensor:
        """The clean picture; mask logits are left in the layout's report."""
        return self.backbone(
            hidden_states=noisy,
            encoder_hidden_states=words[0],
            pooled_projections=words[1],
            timestep=time_B,
            img_ids=self.image_ids,
            txt_ids=self.text_ids,
            joint_attention_kwargs={"layout": replace(layout, want_masks=masks)},
        ).sample


def batch_loss(model: Model, text: Text, batch: list[Example], settings: Settings, number: int):
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + number)
    clean = patches(torch.stack([item.pixels for item in batch]))
    time_B = flow.sample_timesteps(len(batch), mean=settings.time_mean, std=settings.time_std, generator=generator)
    if settings.pure_noise:
        time_B = torch.where(torch.rand(len(batch), generator=generator) < settings.pure_noise, 1.0, time_B)
    noise = torch.randn(clean.shape, generator=generator)
    noisy = flow.interpolate(clean, noise, time_B)
    layout = condition_of(batch, text, model)
    if settings.least_likeness < 1:
        rows_VP = text.model.table[2:] * text.model.scale[2:]
        turned_NP = turned_away(layout.texts.pooled_NP, rows_VP, settings.least_likeness, generator)
        layout = replace(layout, texts=InstanceTexts(pooled_NP=turned_NP))
    out = model(noisy, time_B, text.both([item.prompt for item in batch]), layout, masks=True)
    weight_B = time_B.clamp_min(settings.time_floor) ** -2
    error_BL = (out - clean).square().mean(2)
    if settings.hidden:
        error_BL = error_BL * torch.stack([token_weight(item.visible_KL, settings.hidden) for item in batch])
    flow_loss = (error_BL.mean(1) * weight_B).mean()
    target = torch.cat([item.mask_KL for item in batch])
    align = torch.stack([mask_cross_entropy(logits, target).mean() for logits in layout.report.mask_logits]).mean()
    return flow_loss + settings.align * align, flow_loss.detach(), align.detach()


UNTURNED = 0.3
"""Share of the captions that are left as they are."""


def turned_away(text_NP: Tensor, rows_VP: Tensor, least: float, generator: torch.Generator) -> Tensor:
    """Vectors of the same length at a cosine of `least` to 1, half towards two random words, half anywhere."""
    count = len(text_NP)
    own_NP = F.normalize(text_NP, dim=-1)
    words_NP = F.normalize(rows_VP[torch.randint(len(rows_VP), (count, 2), generator=generator)], dim=-1).sum(1)
    away_NP = F.normalize(words_NP, dim=-1) + F.normalize(torch.randn(own_NP.shape, generator=generator), dim=-1)
    away_NP = F.normalize(away_NP - (away_NP * own_NP).sum(-1, keepdim=True) * own_NP, dim=-1)
    cosine_N1 = 1 - (1 - least) * torch.rand((count, 1), generator=generator)
    cosine_N1[torch.rand((count, 1), generator=generator) < UNTURNED] = 1.0
    turned_NP = cosine_N1 * own_NP + (1 - cosine_N1.square()).clamp_min(0).sqrt() * away_NP
    return turned_NP * text_NP.norm(dim=-1, keepdim=True)


def token_weight(visible_KL: Tensor, hidden: float) -> Tensor:
    """One for every token, and `hidden` tokens' worth for every object, spread over what is seen of it; mean one."""
    share_KL = visible_KL / visible_KL.sum(1, keepdim=True).clamp_min(1.0)
    weight_L = 1 + hidden * share_KL.sum(0)
    return weight_L / weight_L.mean()


def condition_of(batch: list[Example], text: Text, model: Model) -> PreparedLayouts:
    texts = InstanceTexts(pooled_NP=text.pooled([caption for item in batch for caption in item.captions]))
    layouts = [item.layout for item in batch]
    return model.branch.prepare(layouts, texts, GRID, device="cpu", dtype=torch.float32)


@torch.no_grad()
def probe(model: Model, text: Text, batch: list[Example]) -> float:
    """Mean squared error inside fully visible instance tokens of the prediction from pure noise."""
    generator = torch.Generator().manual_seed(7)
    clean = patches(torch.stack([item.pixels for item in batch]))
    noise = torch.randn(clean.shape, generator=generator)
    time_B = torch.ones(len(batch))
    out = model(noise, time_B, text.both([item.prompt for item in batch]), condition_of(batch, text, model))
    seen = torch.stack([item.visible_KL.amax(0) > 0.99 for item in batch])
    return float((out - clean).square().mean(-1)[seen].mean())


@torch.no_grad()
def sample(model: Model, text: Text, batch: list[Example], steps: int = STEPS, shift: float = SHIFT) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    x = torch.randn((len(batch), GRID.num_tokens, BACKBONE["in_channels"]), generator=generator)
    words, layout = text.both([item.prompt for item in batch]), condition_of(batch, text, model)
    sigma = torch.linspace(1, 1 / steps, steps)
    sigma = torch.cat([shift * sigma / (1 + (shift - 1) * sigma), torch.zeros(1)])
    for now, after in pairwise(sigma):
        time_B = now.expand(len(batch))
        velocity = flow.velocity_from_sample(x, model(x, time_B, words, layout), time_B)
        x = x + (after - now) * velocity
    latent = FluxPipeline._unpack_latents(x, CANVAS, CANVAS, 8)
    return F.pixel_shuffle(latent, 8)


def reversed_order(item: Example) -> Example:
    return replace(item, layout=reversed_layout(item.layout))


def picture(path: Path, rows: list[Tensor]) -> None:
    strips = [torch.cat(list(row), -1) for row in rows]
    array = ((torch.cat(strips, -2).clamp(-1, 1) + 1) * 127.5).byte().permute(1, 2, 0).numpy()
    Image.fromarray(array).save(path)


def learning_rate(run: Run, processes: int) -> float:
    """Warm-up by steps, decay by images; the root of the number of processes, as the batch grows with it."""
    settings = run.settings
    left = (settings.images - run.images) / (settings.decay_share * settings.images)
    return settings.lr * processes**0.5 * min(1.0, (run.step + 1) / settings.warmup, max(left, 0.01))


def average_gradients(parameters: list[nn.Parameter]) -> None:
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)


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
        self.step = self.images = 0

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "images": self.images,
        }
        save_atomically(self.out / "checkpoint.pt", lambda path: torch.save(state, path))

    def load(self) -> bool:
        path = self.out / "checkpoint.pt"
        if not path.is_file():
            return False
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema, self.step, self.images = state["ema"], state["step"], state["images"]
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
            "images": run.images,
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
    parser.add_argument("--least-likeness", type=float, default=1.0)
    parser.add_argument("--few", type=float, default=1.5)
    parser.add_argument("--hidden", type=float, default=0.0)
    parser.add_argument("--pure-noise", type=float, default=0.0, help="share of pictures")
    parser.add_argument("--report-every", type=int, default=4000, help="images")
    parser.add_argument("--time-mean", type=float, default=1.5, help="of the logit of times; larger is nearer to noise")
    parser.add_argument("--decay-share", type=float, default=0.1, help="of all images, over which the rate falls")
    parser.add_argument("--processes", type=int, default=1, help="each takes a batch of its own and one core")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.processes == 1:
        train(0, arguments)
        return
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29531")
    context = torch.multiprocessing.start_processes(
        train, args=(arguments,), nprocs=arguments.processes, join=False, start_method="spawn"
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: [os.kill(process, signal.SIGTERM) for process in context.pids()])
    while not context.join():
        pass


def batches(run: Run, rank: int, processes: int) -> DataLoader:
    """What is left for this process: of every step's scenes, its own batch."""
    size = run.settings.batch
    together = size * processes
    indices = [
        start + rank * size + place
        for start in range(run.images, run.settings.images - together + 1, together)
        for place in range(size)
    ]
    data = Examples(TRAIN_SEED, indices, run.settings.few)
    return DataLoader(data, batch_size=size, num_workers=1, collate_fn=list, prefetch_factor=8)


def take_step(run: Run, text: Text, batch: list[Example], rank: int, processes: int) -> list[Tensor]:
    """One step of all processes together; the losses of this one."""
    settings, parameters = run.settings, list(run.model.parameters())
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(run, processes)
    loss, *parts = batch_loss(run.model, text, batch, settings, run.images // settings.batch + rank)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if processes > 1:
        average_gradients(parameters)
    nn.utils.clip_grad_norm_(parameters, settings.clip)
    run.optimizer.step()
    run.step += 1
    run.images += settings.batch * processes
    run.update_ema()
    return parts


def train(rank: int, arguments: argparse.Namespace) -> None:
    processes = arguments.processes
    if processes > 1:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
        distributed.init_process_group("gloo", rank=rank, world_size=processes)
    settings = Settings(
        images=arguments.images,
        least_likeness=arguments.least_likeness,
        few=arguments.few,
        hidden=arguments.hidden,
        pure_noise=arguments.pure_noise,
        decay_share=arguments.decay_share,
        time_mean=arguments.time_mean,
    )
    run = Run(settings, arguments.out)
    run.load()
    text = Text()
    probes = list(Examples(PROBE_SEED, range(64))) if rank == 0 else []
    together = settings.batch * processes
    stopping = torch.zeros(1)
    signal.signal(signal.SIGTERM, lambda *_: stopping.fill_(1))
    started, first, losses = time.monotonic(), run.images, []
    with (arguments.out / "log.jsonl").open("a") as log:
        for batch in batches(run, rank, processes):
            losses.append(take_step(run, text, batch, rank, processes))
            stop = stopping.clone()
            if processes > 1:
                distributed.all_reduce(stop)
            due = run.images % arguments.report_every < together or run.images > settings.images - together
            if rank == 0 and (due or stop):
                speed = (run.images - first) / (time.monotonic() - started)
                report(run, text, probes, log, speed, losses)
                run.save()
                run.export()
                losses = []
            if stop:
                break


if __name__ == "__main__":
    main()
