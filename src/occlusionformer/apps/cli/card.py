"""The command `inspect`: the model card of a checkpoint or model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import RefusedError, ending
from occlusionformer.embedded.packaged import EMBEDDED, FOLDER
from occlusionformer.generation import generator_names, load_generator

if TYPE_CHECKING:
    from occlusionformer.apps.card import Card, Part

MOST_LISTED = 8
"""Problems that the text shows; --json has them all."""


def inspect(
    model: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT_OR_MODEL",
            help="A pipeline folder, a branch folder, a published checkpoint (folder or file), or embedded.",
            show_default=False,
        ),
    ],
    as_json: options.JsonOption = False,
) -> None:
    """Show what weights hold: parameters by part, layout blocks, settings, file sizes, memory."""
    with ending(as_json) as outcome:
        path = Path(model)
        is_name = model in generator_names()
        if not is_name and not path.exists():
            names = ", ".join(generator_names())
            raise RefusedError([f"model: expected a file, a folder or one of ({names}), got {model!r}"])
        card = _card_of_name(model) if is_name else _card_of_path(path)
        outcome.result(card.to_json(), list(_lines(card)))


def _card_of_path(path: Path) -> Card:
    from occlusionformer.apps.card import card_of_path

    return card_of_path(path)


def _card_of_name(name: str) -> Card:
    from occlusionformer.apps.card import card_of_components

    generator = load_generator(name)
    pipeline = getattr(generator, "pipeline", None)
    if pipeline is None:
        raise RefusedError([f"model: expected one that is a pipeline, got {name!r}"])
    return card_of_components(name, pipeline.components, _packaged_files() if name == "embedded" else {})


def _packaged_files() -> dict[str, int]:
    """The weights of the packaged model."""
    paths = sorted(path for folder in EMBEDDED.folders for path in folder.rglob("*.safetensors"))
    return {path.relative_to(FOLDER).as_posix(): path.stat().st_size for path in paths}


def _lines(card: Card) -> Iterator[str]:
    yield f"{card.source}: {card.kind}, {card.parameters:,} parameters"
    yield from _table("parts", card.parts)
    if card.branch_parts and card.branch_parts != card.parts:
        yield from _table("of the branch", card.branch_parts)
    if card.branch_parts:
        yield f"layout blocks: {_blocks('dual', card.dual_blocks)}, {_blocks('single', card.single_blocks)}"
        yield f"LoRA rank: {card.lora_rank}"
    yield from _settings(card)
    if card.fit is not None:
        yield "FLUX.1-dev with the published settings: " + ("fits" if not card.fit else f"{len(card.fit)} problems")
        yield from _listed(card.fit)
    if card.files:
        yield "files:"
        yield from (f"  {_size(size):>10}  {name}" for name, size in card.files.items())
    yield "memory for the weights, without activations:"
    yield from (f"  {_size(size):>10}  {name}" for name, size in card.memory().items())


def _table(title: str, parts: Sequence[Part]) -> Iterator[str]:
    yield f"{title}:"
    for part in parts:
        yield f"  {part.parameters:>15,}  {part.name} ({part.tensors} tensors, {_size(part.bytes)})"


def _settings(card: Card) -> Iterator[str]:
    if not card.settings:
        return
    yield "settings:"
    yield from (f"  {name} = {value}" for name, value in card.settings.items())
    for preset, differences in card.presets.items():
        yield f"compared with the preset {preset}: " + ("the same" if not differences else "; ".join(differences))


def _listed(problems: Sequence[str]) -> Iterator[str]:
    yield from (f"  {problem}" for problem in problems[:MOST_LISTED])
    if len(problems) > MOST_LISTED:
        yield f"  and {len(problems) - MOST_LISTED} more (all with --json)"


def _blocks(stream: str, indices: Sequence[int]) -> str:
    return f"{stream} {', '.join(map(str, indices))}" if indices else f"no {stream}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
