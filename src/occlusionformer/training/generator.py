"""A run of the trainer as a picture maker: what it has learned so far, drawn by the pipeline that it trained."""

from __future__ import annotations

from pathlib import Path

from occlusionformer.embedded.generator import EmbeddedGenerator
from occlusionformer.generation.computing import ComputedIn
from occlusionformer.layout.problems import shown
from occlusionformer.pipelines import OcclusionFormerPipeline, PipelineGenerator
from occlusionformer.training.build import PARTS, build_pipeline, fill_part
from occlusionformer.training.config import RunConfig
from occlusionformer.training.overrides import SettingsError, config_of_json

CONFIG = "run.json"


def run_config(folder: Path) -> RunConfig:
    """The settings of a run. Raises SettingsError for a folder without them."""
    path = folder / CONFIG
    try:
        return config_of_json(path.read_text(encoding="utf-8"), RunConfig)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        said = "; ".join(getattr(error, "problems", None) or [str(error)])
        raise SettingsError([f"model: expected run:FOLDER with {CONFIG} as training leaves it: {said}"]) from error


def run_pipeline(folder: Path) -> OcclusionFormerPipeline:
    """The model of a run with its averaged weights, ready to draw.

    A backbone that was not trained is read from where the run began. Raises SettingsError for a folder without a run's
    settings, and for weights that are missing or of another model.
    """
    config = run_config(folder)
    pipeline = build_pipeline(config)
    problems = [problem for name in PARTS for problem in fill_part(pipeline, name, folder)]
    if problems:
        raise SettingsError([f"model: {problem}" for problem in problems])
    pipeline.transformer.requires_grad_(False)
    pipeline.branch.requires_grad_(False)
    return pipeline


def load_run(argument: str | None, *, precision: ComputedIn | None = None) -> PipelineGenerator:
    """The generator `run:FOLDER`, which knows the words of the packaged model if the run is of it.

    precision: as `EmbeddedGenerator` has it, where the run is of the packaged model; None is its own default. Raises
    ValueError for one given to another model, without a folder, and as `run_pipeline` does.
    """
    if argument is None or not Path(argument).is_dir():
        raise ValueError(f"model: expected run:FOLDER with the folder of a training run, got {shown(argument)}")
    if run_config(Path(argument)).model.family == "embedded":
        return EmbeddedGenerator(run_pipeline(Path(argument)), model=f"run:{argument}", precision=precision or "auto")
    if precision is not None:
        raise ValueError(f"precision: expected none for a run of another model than the packaged one, got {precision}")
    return PipelineGenerator(run_pipeline(Path(argument)), model=f"run:{argument}")
