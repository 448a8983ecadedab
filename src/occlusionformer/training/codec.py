"""Training of the autoencoder: crops of scenes, reconstruction, and the same rules of checkpoint and log as any run.

Arrays: B crops, C channels, H rows, W columns.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from torch import Tensor

from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.scenes import WorldSpec, make_scene
from occlusionformer.embedded.autoencoder import (
    SceneAutoencoder,
    grid_loss,
    peak_signal_to_noise,
    reconstruction_loss,
    steepness_loss,
    with_pixel_channels,
)
from occlusionformer.embedded.packaged import LATENT_CHANNELS
from occlusionformer.layout import write_atomic
from occlusionformer.model.precision import chosen_precision
from occlusionformer.tensors.files import CheckpointError, check_tensors, read_tensors
from occlusionformer.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizers,
    save_checkpoint,
    set_aside,
)
from occlusionformer.training.config import CodecConfig
from occlusionformer.training.resuming import RunResult, find_checkpoint

LATENT_SAMPLES = 40
"""Batches of crops by which the mean and the deviation of latents are measured."""
OUT_OF_REACH = 10_000_000
"""Their first step: no run gets there."""

COLOURS = "decoder.13.weight"
"""The last weights of a decoder that works at full size."""

OnReport = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class DrawnLatents:
    """Latents that a model drew, (N, 16, h, w), and the true pictures, (N, 8h, 8w, 3) in uint8."""

    latents: Tensor
    pictures: Tensor

    @classmethod
    def read(cls, path: Path, crop: int) -> DrawnLatents:
        """From a file of safetensors.

        Raises CheckpointError for one that is damaged, or holds something else than pictures as large as a crop.
        """
        tensors, _ = read_tensors(path)
        shapes = {name: tuple(value.shape) for name, value in tensors.items()}
        count, channels, height, width = shapes.get("latents", (0, 0, 0, 0))
        fits = channels == LATENT_CHANNELS and shapes.get("pictures") == (count, 8 * height, 8 * width, 3)
        if not fits or not count or 8 * min(height, width) < crop:
            expected = (
                f"latents (N, {LATENT_CHANNELS}, h, w) and pictures (N, 8h, 8w, 3) of {crop} pixels a side or more"
            )
            raise CheckpointError(path, [f"expected {expected}, got {shapes}"])
        return cls(tensors["latents"], tensors["pictures"])

    def crops(self, rng: np.random.Generator, count: int, side: int) -> tuple[Tensor, Tensor]:
        """Latents (B, 16, side/8, side/8) and the pixels they should become, in -1..1."""
        latents, pictures = [], []
        for number in rng.integers(len(self.latents), size=count):
            top, left = (int(rng.integers(extent - side // 8 + 1)) for extent in self.latents.shape[2:])
            latents.append(self.latents[number, :, top : top + side // 8, left : left + side // 8].float())
            pictures.append(self.pictures[number, 8 * top : 8 * top + side, 8 * left : 8 * left + side])
        return torch.stack(latents), as_pixels(torch.stack(pictures).numpy())


class CodecTrainer:
    """One run in one folder; built anew with resume=True it goes on where the newest checkpoint stands."""

    is_main_process = True

    def __init__(self, config: CodecConfig, folder: Path, *, resume: bool = False) -> None:
        self.config, self.folder, self.step = config, folder, 0
        found = find_checkpoint(folder, config, resume=resume)
        torch.manual_seed(config.seed)
        self.model = starting_model(config.init_from, config.pixel_channels).to(memory_format=torch.channels_last)
        self.model.encoder.requires_grad_(config.trained == "all")
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        trained = {name: value for name, value in self.model.named_parameters() if value.requires_grad}
        self.optimizer = torch.optim.AdamW(trained.values(), config.lr, betas=(0.9, 0.98), weight_decay=0.01)
        self.names = {id(parameter): name for name, parameter in trained.items()}
        self.pairs = None if config.pairs is None else DrawnLatents.read(config.pairs, config.crop)
        self.drawn = 0 if self.pairs is None else min(round(config.batch * config.pairs_share), config.batch - 1)
        self.art, self.stopping = world_art(), False
        self.spec = WorldSpec(max_instances=config.max_instances, pairs="any", wordings="any", colours="any")
        if found is not None:
            self._restore(found.checkpoint)
            for path in found.damaged:
                set_aside(path)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "run.json", config.model_dump_json(indent=1) + "\n")

    def run(self, on_report: OnReport) -> RunResult:
        """Train to the end or until told to stop, and save either way; what is finished is exported."""
        previous = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            losses: list[Tensor] = []
            started = time.perf_counter()
            while self.step < self.config.steps and not self.stopping:
                losses.append(self._advance())
                if self.step % self.config.report_every == 0:
                    seconds, started = time.perf_counter() - started, time.perf_counter()
                    figures = {"loss": float(torch.stack(losses).mean()), **self.probe()}
                    figures["steps_per_second"] = len(losses) / seconds
                    losses = []
                    self._log(figures)
                    on_report(self.step, figures)
                if self.step % self.config.save_every == 0:
                    self._save()
            self._save()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        if self.step < self.config.steps:
            return RunResult(step=self.step, reason="stopped")
        self.export(self.folder / "export")
        return RunResult(step=self.step, reason="finished")

    def crops(self, step: int) -> Tensor:
        """The crops of scenes of one step, in -1..1, (B, 3, H, W): a function of the step alone."""
        config, rng = self.config, np.random.default_rng([self.config.seed, 7, step])
        scenes = -(-config.batch // config.crops_per_scene)
        found = []
        for index in range(config.batch - self.drawn):
            if index % config.crops_per_scene == 0:
                number = step * scenes + index // config.crops_per_scene
                image = make_scene(number, seed=config.seed + 1, spec=self.spec, art=self.art).image
            top, left = (int(rng.integers(side - config.crop + 1)) for side in image.shape[:2])
            found.append(image[top : top + config.crop, left : left + config.crop])
        return as_pixels(np.stack(found))

    @torch.no_grad()
    def probe(self) -> dict[str, float]:
        """PSNR in dB of the averaged weights on scenes that training never draws.

        psnr: the mean of the pictures' own; psnr_pooled: of the mean square error of all of them together, which the
        hardest pictures decide.
        """
        config = self.config
        truth = as_pixels(
            np.stack(
                [make_scene(i, seed=1_000_003, spec=self.spec, art=self.art).image for i in range(config.probe_scenes)]
            )
        )
        model = self._averaged().to(memory_format=torch.channels_last)
        pixels = torch.cat([model(picture) for picture in truth.split(4)])
        each = [peak_signal_to_noise(one, same) for one, same in zip(pixels, truth, strict=True)]
        return {"psnr": sum(each) / len(each), "psnr_pooled": peak_signal_to_noise(pixels, truth)}

    def export(self, folder: Path) -> None:
        """The averaged weights as fp16 with factors that bring latents of scenes to mean 0 and deviation 1.

        Where the decoder alone was trained, the factors of the autoencoder that it began as stay: so do its latents.
        """
        model = self._averaged()
        if self.config.trained == "all":
            with torch.no_grad():
                latents = torch.cat(
                    [model.encoder(self.crops(OUT_OF_REACH + k)).flatten(1) for k in range(LATENT_SAMPLES)]
                ).flatten()
            scaling, shift = round(1 / float(latents.std()), 4), round(float(latents.mean()), 4)
        else:
            scaling, shift = self.model.config.scaling_factor, self.model.config.shift_factor
        model.register_to_config(scaling_factor=scaling, shift_factor=shift)
        model.half().save_pretrained(folder, safe_serialization=True)

    def _averaged(self) -> SceneAutoencoder:
        model: SceneAutoencoder = SceneAutoencoder.from_config(self.model.config)
        model.load_state_dict(self.average)
        return model

    def _advance(self) -> Tensor:
        config, model = self.config, self.model
        truth = self.crops(self.step)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * rate_at(self.step, config)
        with (
            torch.autocast("cpu", torch.bfloat16)
            if chosen_precision(config.precision, "cpu") == "bf16"
            else nullcontext()
        ):
            latents = model.encoder(truth)
            noise = torch.randn(latents.shape, generator=generator)
            noisy = latents + config.latent_noise * noise
            if self.pairs is not None and self.drawn:
                rng = np.random.default_rng([config.seed, 8, self.step])
                drawn, pictures = self.pairs.crops(rng, self.drawn, config.crop)
                noisy, truth = torch.cat([noisy, drawn.to(noisy.dtype)]), torch.cat([truth, pictures])
            pixels = model.decoder(noisy).float()
        loss = reconstruction_loss(pixels, truth, config.square_weight)
        loss = loss + config.latent_weight * latents.float().square().mean()
        if self.drawn:
            drawn_pixels, drawn_truth = pixels[-self.drawn :], truth[-self.drawn :]
            loss = loss + config.steepness_weight * steepness_loss(drawn_pixels, drawn_truth)
            loss = loss + config.grid_weight * grid_loss(drawn_pixels, drawn_truth)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        for name, value in model.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)
        return loss.detach()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _log(self, figures: dict[str, float]) -> None:
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(
                json.dumps({"step": self.step, **{name: round(value, 5) for name, value in figures.items()}}) + "\n"
            )

    def _save(self) -> None:
        tensors = {
            "model": {name: value.contiguous() for name, value in self.model.state_dict().items()},
            "average": self.average,
            "optimizer": optimizer_tensors([self.optimizer], self.names),
        }
        checkpoint = Checkpoint(step=self.step, tensors=tensors, state={"config": self.config.model_dump(mode="json")})
        save_checkpoint(self.folder / "checkpoints", checkpoint, keep=2)

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.model.load_state_dict(dict(checkpoint.tensors["model"]))
        self.average = dict(checkpoint.tensors["average"])
        restore_optimizers([self.optimizer], self.names, checkpoint.tensors["optimizer"])
        self.step = checkpoint.step


def starting_model(source: Path | None, pixel_channels: int | None = None) -> SceneAutoencoder:
    """New weights, or those of a folder: of an autoencoder, or of a run's checkpoint (the averaged ones).

    pixel_channels: of the decoder at full size; None: as it is.
    CheckpointError if the folder holds neither, or does not fit.
    """
    if source is None:
        return SceneAutoencoder(pixel_channels=pixel_channels or 0)
    if (source / "config.json").exists():
        model = SceneAutoencoder.from_pretrained(source).float()
    else:
        tensors = load_checkpoint(source).tensors.get("average", {})
        last = tensors.get(COLOURS)
        model = SceneAutoencoder(pixel_channels=0 if last is None else last.shape[1])
        check_tensors(source, dict(tensors), {name: value.shape for name, value in model.state_dict().items()})
        model.load_state_dict(dict(tensors))
    try:
        return model if pixel_channels is None else with_pixel_channels(model, pixel_channels)
    except ValueError as error:
        raise CheckpointError(source, [str(error)]) from None


def rate_at(step: int, config: CodecConfig) -> float:
    """The learning rate of a step as a share of the greatest: warm-up, then flat, then falling to a hundredth."""
    rising = min(1.0, (step + 1) / (config.warmup + 1))
    left = (config.steps - step) / max(1.0, config.decay_share * config.steps)
    return rising * max(0.01, min(1.0, left))


def as_pixels(images_BHWC: np.ndarray) -> Tensor:
    """uint8 pictures as (B, 3, H, W) in -1..1, channels last."""
    pixels = torch.from_numpy(images_BHWC).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last)
