"""The training loop: the same for the small model on two cores and for FLUX on a cluster."""

from __future__ import annotations

import contextlib
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, DistributedType, PartialState
from accelerate.state import AcceleratorState, is_initialized
from torch import Tensor
from torch.utils.data import DataLoader

from occlusionformer.embedded.config import LOOKS_PLACED
from occlusionformer.layout import write_atomic
from occlusionformer.model.backbones.flux_training import speed_up_training
from occlusionformer.model.precision import chosen_precision
from occlusionformer.pipelines import OcclusionFormerPipeline
from occlusionformer.tensors.files import CheckpointError, check_tensors
from occlusionformer.training.build import build_pipeline
from occlusionformer.training.cache import EncodedSamples, fill, origin_of
from occlusionformer.training.checkpoint import (
    Checkpoint,
    gathered,
    optimizer_tensors,
    random_state,
    restore_optimizers,
    restore_random_state,
    save_checkpoint,
    scattered,
    set_aside,
)
from occlusionformer.training.config import RunConfig
from occlusionformer.training.data_plan import data_plan
from occlusionformer.training.encoder import Encoder
from occlusionformer.training.examples import Batch, Examples
from occlusionformer.training.export import export, exported
from occlusionformer.training.logbook import Logbook, check_trackers
from occlusionformer.training.objective import Conditions, Inputs, Objective
from occlusionformer.training.optimizer import Average, build_optimizers, rate, set_rates
from occlusionformer.training.overrides import SettingsError
from occlusionformer.training.pictures import draw_samples, sheet
from occlusionformer.training.probe import Probe
from occlusionformer.training.randomness import Randomness
from occlusionformer.training.resuming import CHECKPOINTS, RunResult, find_checkpoint
from occlusionformer.training.sampler import Division, Parts

CONFIG = "run.json"

OnReport = Callable[[int, dict[str, float]], None]


@dataclass
class StepStats:
    """What happened since the last report."""

    flow: list[Tensor] = field(default_factory=list)
    align: list[Tensor] = field(default_factory=list)
    gradient: list[Tensor] = field(default_factory=list)
    waited: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def figures(self, images: int, rate_now: float) -> dict[str, float]:
        seconds = time.perf_counter() - self.started
        return {
            "flow": float(torch.stack(self.flow).mean()),
            "align": float(torch.stack(self.align).mean()),
            "gradient_norm": float(torch.stack(self.gradient).mean()),
            "learning_rate": rate_now,
            "images_per_second": images / seconds,
            "data_share": self.waited / seconds,
        }


class Trainer:
    """One run in one folder. Build it anew with resume=True to go on where the newest checkpoint stands."""

    def __init__(
        self, config: RunConfig, folder: Path, *, resume: bool = False, pipeline: OcclusionFormerPipeline | None = None
    ) -> None:
        self.config, self.folder = config, folder
        self.accelerator = new_accelerator(config, folder)
        self.division = Division(
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
            parts=config.execution.accumulate,
        )
        check_run(config, self.division)
        found = find_checkpoint(folder, config, resume=resume)
        self.pipeline = build_pipeline(config) if pipeline is None else pipeline
        self.pipeline.to(self.accelerator.device)
        speed_up_training(self.pipeline.transformer)
        if config.execution.gradient_checkpointing:
            self.pipeline.transformer.enable_gradient_checkpointing()
        self.data = data_plan(config)
        precision: Any = self.accelerator.mixed_precision
        self.encoder = Encoder(self.pipeline, config.model.guidance, self.accelerator.device, precision)
        self.examples = self._examples()
        self.randomness = Randomness(config.seed, config.objective)
        self._build_optimisation()
        self.step = 0
        self.stopping = False
        """Somebody asked this process to stop; asked for again at the next step, where all processes agree."""
        self.ending = False
        self._probe: Probe | None = None
        if found is not None:
            self._restore(found.checkpoint)
            self.accelerator.wait_for_everyone()
            for path in found.damaged if self.accelerator.is_main_process else ():
                set_aside(path)

    @property
    def is_main_process(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def _build_optimisation(self) -> None:
        pipeline, config = self.pipeline, self.config
        objective = Objective(pipeline.transformer, pipeline.branch, config.objective)
        trainable = {name: p for name, p in objective.named_parameters() if p.requires_grad}
        if not trainable:
            name = config.model.method.name
            raise SettingsError([f"model: expected something to train, got method {name} over a frozen backbone"])
        optimizers = build_optimizers(trainable, config.optimizer)
        self.objective = objective
        self.model, *self.optimizers = self.accelerator.prepare(objective, *optimizers)
        named = self.accelerator.unwrap_model(self.model).named_parameters()
        self.parameters = {name: p for name, p in named if p.requires_grad}
        self.average = Average(self.parameters, config.optimizer.ema)

    def _examples(self) -> Examples:
        config, pipeline = self.config, self.pipeline
        plain = Examples(
            source=self.data.source,
            data=config.data,
            packer=pipeline.branch.packer(),
            pixels_per_token=self.encoder.pixels_per_token,
            captions_in_prompt=pipeline.config.captions_in_prompt,
        )
        if config.data.cache is None:
            return plain
        settings = {"text_tokens": pipeline.config.max_sequence_length, "captions": plain.captions_in_prompt}
        origin = origin_of(config, settings)
        cache = EncodedSamples(config.data.cache, origin)
        missing = cache.missing(self.data.draws)
        share = missing[self.division.process :: self.division.processes]
        fill(cache, plain, self.encoder, self.data.draws, share)
        self.accelerator.wait_for_everyone()
        return replace(plain, cache=cache)

    def run(self, on_report: OnReport | None = None) -> RunResult:
        """Train to the last step, or until a step after SIGTERM or SIGINT has arrived; saves either way."""
        logbook = Logbook(self.folder, self.accelerator, step=self.step, trackers=self.config.logging.trackers)
        with self._stopping_at_signals(), warnings.catch_warnings():
            # Norms keep their gains in float32 under autocast; torch says on the way that another kernel is faster.
            warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")
            try:
                self._steps(logbook, on_report)
            finally:
                logbook.close()
        return RunResult(self.step, "finished" if self.step == self.config.steps else "stopped")

    def _steps(self, logbook: Logbook, on_report: OnReport | None) -> None:
        config, stats = self.config, StepStats()
        if self.step == config.steps:  # killed after its last checkpoint, perhaps before the weights were exported
            self.save()
        loader = iter(self._loader())
        while self.step < config.steps and not self.ending:
            self._take_step(loader, stats)
            last = self.step == config.steps or self.ending
            if self.step % config.logging.every == 0 or last:
                self._report(logbook, stats, on_report)
                stats = StepStats()
            if self.step % config.logging.probe_every == 0 or self.step == config.steps:
                self._look(logbook, on_report)
                stats.started = time.perf_counter()
            if self.step % config.saving.every == 0 or last:
                self.save()

    def _loader(self) -> DataLoader:
        settings = self.config.execution
        return DataLoader(
            self.examples,
            batch_sampler=Parts(self.data.plan, self.division, range(self.step, self.config.steps)),
            collate_fn=self.examples.collate,
            num_workers=settings.workers,
            prefetch_factor=settings.prefetch if settings.workers else None,
            worker_init_fn=ignore_signals,
            generator=torch.Generator(),  # it draws a seed, which a resumed run would draw twice from the global one
        )

    def _take_step(self, loader: Iterator[Batch], stats: StepStats) -> None:
        waiting = time.perf_counter()
        parts = [next(loader) for _ in range(self.division.parts)]
        stats.waited += time.perf_counter() - waiting
        instances = self._agree(sum(len(part.mask_NL) for part in parts))
        flows, aligns = [], []
        for number, part in enumerate(parts):
            inputs = self.inputs(part)
            joining = number == len(parts) - 1
            with contextlib.nullcontext() if joining else self.accelerator.no_sync(self.model):
                flow_B, align_N = self.model(inputs)
                flow, align = flow_B.sum() / self.config.batch, align_N.sum() / max(instances, 1)
                loss = flow + self.config.objective.align_weight * align
                # Gradients are averaged over processes: times their number, the mean over the batch.
                self.accelerator.backward(loss * self.division.processes)
            flows.append(flow.detach())
            aligns.append(align.detach())
        set_rates(self.optimizers, rate(self.step, self.config.steps, self.config.optimizer), self.config.optimizer)
        norm = self.accelerator.clip_grad_norm_(list(self.parameters.values()), self.config.optimizer.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.average.update(self.step)
        stats.flow.append(torch.stack(flows).sum())
        stats.align.append(torch.stack(aligns).sum())
        stats.gradient.append(torch.as_tensor(norm).detach())

    def inputs(self, part: Batch) -> Inputs:
        """A part as the objective takes it: encoded, with times and noise, on the device."""
        clean = self.encoder.clean(part)
        time_B, noise = self.randomness.times_and_noise(part.draws, tuple(clean.shape[1:]))
        device = self.accelerator.device
        return Inputs(
            clean_BLC=clean,
            noise_BLC=noise.to(device),
            time_B=time_B.to(device),
            mask_NL=part.mask_NL.to(device),
            seen_NL=part.seen_NL.to(device),
            sample_N=part.sample_N.to(device),
            conditions=self._turned(self.encoder.conditions(part), part),
        )

    def _turned(self, conditions: Conditions, part: Batch) -> Conditions:
        """With captions' pooled vectors turned away, where the objective asks for that."""
        pooled_NP = conditions.layout.texts.pooled_NP
        if self.config.objective.least_likeness == 1 or pooled_NP is None or not len(pooled_NP):
            return conditions
        counts = [len(layout.instances) for layout in part.layouts]
        texts = replace(conditions.layout.texts, pooled_NP=self.randomness.turned_away(pooled_NP, part.draws, counts))
        return replace(conditions, layout=replace(conditions.layout, texts=texts))

    def _agree(self, instances: int) -> int:
        """Instances of the whole batch; this step is every process's last if any of them was asked to stop."""
        if self.division.processes == 1:
            self.ending = self.stopping
            return instances
        mine = torch.tensor([instances, int(self.stopping)], device=self.accelerator.device)
        total, stopping = self.accelerator.reduce(mine, "sum").tolist()
        self.ending = stopping > 0
        return int(total)

    def _report(self, logbook: Logbook, stats: StepStats, on_report: OnReport | None) -> None:
        config = self.config
        factor = rate(self.step - 1, config.steps, config.optimizer)
        if self.division.processes > 1:
            for losses in (stats.flow, stats.align):
                losses[:] = self.accelerator.reduce(torch.stack(losses), "sum").unbind()
        figures = stats.figures(len(stats.flow) * config.batch, config.optimizer.lr * factor)
        logbook.figures(self.step, {"images": self.step * config.batch, **figures})
        if on_report is not None and self.accelerator.is_main_process:
            on_report(self.step, figures)

    def _look(self, logbook: Logbook, on_report: OnReport | None) -> None:
        """Figures and pictures of the probe set with averaged weights, by the main process."""
        if self.accelerator.distributed_type != DistributedType.FSDP and self.accelerator.is_main_process:
            self.average.swap()
            with self.accelerator.autocast():
                figures = self.probe.figures(self.objective)
                self._draw(logbook)
            self.average.swap()
            logbook.figures(self.step, figures)
            if on_report is not None:
                on_report(self.step, figures)
        self.accelerator.wait_for_everyone()

    def _draw(self, logbook: Logbook) -> None:
        count = min(self.config.logging.pictures, len(self.data.probe_draws))
        if count:
            samples = [self.data.probe_source[draw.index] for draw in self.data.probe_draws[:count]]
            drawn = draw_samples(self.pipeline, samples, steps=self.config.logging.picture_steps)
            logbook.picture(self.step, "probe", sheet(samples, drawn))

    @property
    def probe(self) -> Probe:
        if self._probe is None:
            ordered = self.examples.data.model_copy(update={"dropped_order": 0.0})
            found = replace(self.examples, source=self.data.probe_source, data=ordered, cache=None)
            self._probe = Probe.of(found, [found[draw] for draw in self.data.probe_draws], self.encoder)
        return self._probe

    def save(self) -> None:
        """A checkpoint, and the averages as the package loads them."""
        weights = {name: gathered(p) for name, p in self.parameters.items()}
        averages = {name: gathered(value) for name, value in self.average.values.items()}
        optimizer = optimizer_tensors(self.optimizers, self._names())
        if self.accelerator.is_main_process:
            state = {
                "sampler": {"next_ordinal": self.step * self.config.batch, "count": self.data.count},
                "config": self.config.model_dump(mode="json"),
                "scaler": None if self.accelerator.scaler is None else self.accelerator.scaler.state_dict(),
            }
            tensors = {"weights": weights, "averages": averages, "optimizer": optimizer, "random": random_state()}
            checkpoint = Checkpoint(step=self.step, tensors=tensors, state=state)
            save_checkpoint(self.folder / CHECKPOINTS, checkpoint, keep=self.config.saving.keep)
            averaged = exported(averages, weights, self.config.saving.last_share)
            said = LOOKS_PLACED if self.config.model.looks_placed else None
            export(self.folder, averaged, self.pipeline.branch, said)
            write_atomic(self.folder / CONFIG, self.config.model_dump_json(indent=2) + "\n")
        self.accelerator.wait_for_everyone()

    def _restore(self, found: Checkpoint) -> None:
        """CheckpointError for a checkpoint of another model; SettingsError for one of other data."""
        count = found.state.get("sampler", {}).get("count")
        if count != self.data.count:
            raise SettingsError([f"data: expected {count} samples as before, got {self.data.count}"])
        shapes = {name: parameter.shape for name, parameter in self.parameters.items()}
        for group in ("weights", "averages"):
            check_tensors(f"{found.path}: {group}", found.tensors.get(group, {}), shapes)
        try:
            restore_optimizers(self.optimizers, self._names(), found.tensors["optimizer"])
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(found.state["scaler"])
            restore_random_state(found.tensors["random"])
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(found.path or self.folder, str(error).splitlines() or [repr(error)]) from error
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(scattered(found.tensors["weights"][name], parameter))
                self.average.values[name].copy_(scattered(found.tensors["averages"][name], parameter))
        self.step = found.step

    def _names(self) -> dict[int, str]:
        return {id(parameter): name for name, parameter in self.parameters.items()}

    @contextlib.contextmanager
    def _stopping_at_signals(self) -> Iterator[None]:
        def stop(number: int, frame: Any) -> None:
            self.stopping = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def new_accelerator(config: RunConfig, folder: Path) -> Accelerator:
    """Devices and processes as `accelerate launch` set them up; alone on the best device otherwise.

    accelerate keeps one precision for the whole process; a run that follows one of another precision sets it anew.
    """
    problems = check_trackers(config.logging.trackers)
    if problems:
        raise SettingsError(problems)
    on_cpu = config.execution.device == "cpu"
    precision = chosen_precision(config.execution.precision, PartialState(cpu=on_cpu).device)
    if is_initialized() and AcceleratorState().mixed_precision != precision:
        AcceleratorState._reset_state()
    return Accelerator(
        cpu=on_cpu,
        mixed_precision=precision,
        log_with=list(config.logging.trackers) or None,
        project_dir=str(folder),
        # Density has no gradient where nothing overlaps, nor have layout tokens after their last block.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def check_run(config: RunConfig, division: Division) -> None:
    """What only the number of processes decides."""
    share = division.processes * division.parts
    if config.batch % share:
        raise SettingsError(
            [f"batch: expected a multiple of processes x execution.accumulate, {division.processes} x "
             f"{division.parts}, got {config.batch}"]
        )  # fmt: skip


def ignore_signals(worker: int) -> None:
    """Workers end with their loader: a signal to the whole group must not take them from under a step."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
