"""What `publish` is asked for, everything that is wrong with it, and the folder that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from occlusionformer.apps.published_figures import tables_of
from occlusionformer.apps.weights import weights_digest
from occlusionformer.layout import Layout
from occlusionformer.layout.new_folder import new_folder
from occlusionformer.methods.registry import load_method
from occlusionformer.model import Method, published
from occlusionformer.model.checkpoint import load_published
from occlusionformer.pipelines.folder import setting_problems
from occlusionformer.pipelines.hub import PipelineFolder, downloaded, write_hub_folder
from occlusionformer.pipelines.hub_card import REPO, ModelDescription, description_problems

EMBEDDED = "embedded"
SOURCES = "expected --model embedded, embedded:FOLDER or a pipeline folder, or --branch with --base"

Writer = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True)
class Publication:
    """The arguments of `publish`.

    model: embedded, embedded:FOLDER or a pipeline folder; or branch (a branch folder, a published checkpoint) for base
    (a FLUX pipeline, as a folder or a hub id). settings: default_steps and its like, stored with the model.
    """

    folder: Path
    model: str | None = None
    branch: Path | None = None
    base: str | None = None
    repo: str | None = None
    licence: str | None = None
    licence_name: str | None = None
    licence_link: str | None = None
    base_model: str | None = None
    results: Sequence[Path] = ()
    layout: Layout | None = None
    picture: bytes | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def repo_or_name(self) -> str:
        """The id on the Hub, or the name of the folder where none is given."""
        return self.folder.absolute().name if self.repo is None else self.repo

    @property
    def base_on_hub(self) -> str | None:
        """The base where it is a model of the Hub."""
        is_folder = self.base is None or Path(self.base).exists() or "/" not in self.base
        return None if is_folder or not REPO.fullmatch(self.base or "") else self.base


def publish_folder(wish: Publication, known: Sequence[str] = ()) -> list[str]:
    """Write the folder, whole or not at all; returns the names of its files.

    known: problems that were found before. Raises ValueError with all that there are, before anything is written.
    """
    problems = [*known, *_folder_problems(wish.folder)]
    problems += description_problems(
        repo=wish.repo_or_name,
        licence=wish.licence,
        licence_name=wish.licence_name,
        licence_link=wish.licence_link,
        base_model=wish.base_model,
    )
    problems += [
        f"--{name.removeprefix('default_').replace('_', '-')}: {line}"
        for name, value in wish.settings.items()
        for line in setting_problems(name, value)
    ]
    source = wish.model if wish.model is not None else str(wish.branch)
    tables, wrong = tables_of(wish.results, weights_digest(source))
    problems += wrong
    write = _writer(wish, problems)
    if problems or write is None:
        raise ValueError("\n".join(problems))
    assert wish.licence is not None
    described = ModelDescription(
        repo=wish.repo_or_name,
        licence=wish.licence,
        licence_name=wish.licence_name,
        licence_link=wish.licence_link,
        base_model=wish.base_model or wish.base_on_hub,
        layout=wish.layout,
        picture=wish.picture,
        figures=tuple(tables),
    )
    with new_folder(wish.folder) as folder:
        return write_hub_folder(folder, write, described)


def _folder_problems(folder: Path) -> list[str]:
    if folder.is_dir() and any(folder.iterdir()):
        return [f"FOLDER: expected a new or empty folder, got one with files: {folder}"]
    if folder.exists() and not folder.is_dir():
        return [f"FOLDER: expected a new or empty folder, got a file: {folder}"]
    return []


def _writer(wish: Publication, problems: list[str]) -> Writer | None:
    """What writes the pipeline into a folder; adds to the problems instead where there are any."""
    if wish.model is not None:
        if wish.branch is not None or wish.base is not None:
            problems.append(f"--model: {SOURCES}; got both")
            return None
        return _model_writer(wish.model, wish.settings, problems)
    if wish.branch is None or wish.base is None:
        got = "nothing" if wish.branch is None and wish.base is None else "one of the two"
        problems.append(f"--model: {SOURCES}; got {got}")
        return None
    branch = _loaded_branch(wish.branch, problems)
    base = _base_folder(wish, problems)
    if branch is None or base is None:
        return None
    return _folder_writer(PipelineFolder(path=base, branch=branch, settings=wish.settings), "--base", problems)


def _base_folder(wish: Publication, problems: list[str]) -> Path | None:
    """The base, fetched where it is on the Hub: many gigabytes, so not while there are problems."""
    if wish.base_on_hub is None:
        return Path(wish.base or "")
    if problems:
        return None
    try:
        return downloaded(wish.base_on_hub)
    except OSError as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        problems.append(f"--base: {wish.base}: no such folder, and the Hub did not give it: {said}")
        return None


def _model_writer(model: str, settings: Mapping[str, Any], problems: list[str]) -> Writer | None:
    name, colon, argument = model.partition(":")
    if name != EMBEDDED:
        return _folder_writer(PipelineFolder(path=Path(model), settings=settings), "--model", problems)
    from occlusionformer.embedded.generator import load_embedded

    try:
        pipeline = load_embedded(argument if colon else None).pipeline
    except ValueError as error:
        problems += [f"--model: {line}" for line in str(error).splitlines()]
        return None
    pipeline.register_to_config(**settings)
    return lambda folder: pipeline.save_pretrained(folder)


def _folder_writer(source: PipelineFolder, option: str, problems: list[str]) -> Writer | None:
    found = source.problems()
    problems += [f"{option}: {line}" for line in found]
    return None if found else source.write


def _loaded_branch(path: Path, problems: list[str]) -> Method | None:
    """A branch as training or `save_pretrained` left it, or OcclusionFormer's from a published checkpoint."""
    try:
        if (path / "config.json").is_file():
            return load_method(path)
        branch: Method = load_published(path, published())
    except ValueError as error:
        problems += [f"--branch: {line}" for line in str(error).splitlines()]
        return None
    except OSError as error:  # what libraries raise for a folder without the weights that its configuration is for
        problems += [f"--branch: {path}: {line}" for line in str(error).splitlines()]
        return None
    return branch
