"""The command `generate`: a layout in, a picture out."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from PIL import Image

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import CommandOutput, ending
from occlusionformer.apps.cli.draw_request import DrawSettings, draw, draw_request_for
from occlusionformer.apps.cli.output_files import beside, mask_path, write_together
from occlusionformer.apps.cli.sources import SourceOptions
from occlusionformer.apps.drawing import draw_overlay
from occlusionformer.generation import GeneratedImage, Provenance
from occlusionformer.layout import Layout, write_atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Files = dict[Path, Callable[[Path], None]]
"""What writes each file."""


def generate(  # noqa: PLR0913 - a parameter for every option
    layout: options.LayoutPath,
    format: options.FormatOption = "native",
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture.")] = Path("out.png"),
    model: options.ModelOption = None,
    precision: options.PrecisionOption = None,
    seed: options.SeedOption = None,
    steps: options.StepsOption = None,
    guidance: options.GuidanceOption = None,
    grounding_ratio: options.GroundingRatioOption = None,
    strength: options.StrengthOption = None,
    size: options.SizeOption = None,
    masks: Annotated[bool, typer.Option("--masks", help="Also write a mask of every instance.")] = False,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also write the picture with boxes, captions and order on it.")
    ] = False,
    prompt: options.PromptOption = None,
    canvas: options.CanvasOption = None,
    cycles: options.CyclesOption = None,
    image: options.ImageOption = None,
    no_regions: options.NoRegionsOption = False,
    list_order: options.ListOrderOption = None,
    max_instances: options.MaxInstancesOption = options.MAX_INSTANCES,
    quiet: options.QuietOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Draw a layout. From a PNG that this command wrote, draw the same picture again."""
    reading = SourceOptions(
        format, prompt, canvas, cycles, most=max_instances, image=image, boxes_only=no_regions, list_order=list_order
    )
    settings = DrawSettings(
        seed=seed, steps=steps, guidance=guidance, grounding_ratio=grounding_ratio, strength=strength, size=size
    )
    with ending(as_json, quiet=quiet) as outcome:
        asked = draw_request_for(layout, output, reading=reading, settings=settings, model=model, precision=precision)
        drawn = draw([replace(asked.request, want_masks=masks)], asked.model, asked.precision)[0]
        mask_files = _mask_files(output, drawn, asked.request.layout) if masks else {}
        overlay_files = _overlay_file(output, drawn, asked.request.layout) if overlay else {}
        write_together({**mask_files, **overlay_files, output: drawn.save})
        if asked.record is not None:
            _note_differences(outcome, asked.record, drawn.provenance)
        _tell(outcome, drawn, output, overlays=list(overlay_files), masks=list(mask_files))


def _mask_files(output: Path, drawn: GeneratedImage, layout: Layout) -> Files:
    if drawn.instance_masks is None:
        raise RuntimeError("masks: this model gives none")
    return {
        mask_path(output, place, layout.instances[place].id): _png_writer(_grey(mask))
        for place, mask in enumerate(drawn.instance_masks)
    }


def _overlay_file(output: Path, drawn: GeneratedImage, layout: Layout) -> Files:
    return {beside(output, "overlay"): _png_writer(draw_overlay(drawn.image, layout))}


def _png_writer(image: Image.Image) -> Callable[[Path], None]:
    encoded = io.BytesIO()
    image.save(encoded, format="PNG")
    return lambda path: write_atomic(path, encoded.getvalue())


def _grey(mask_HW: NDArray[np.float32]) -> Image.Image:
    """Probability 0 to 1 as black to white."""
    return Image.fromarray((mask_HW * 255 + 0.5).astype("uint8"), mode="L")


def _note_differences(outcome: CommandOutput, before: Provenance, now: Provenance) -> None:
    """The same picture to the last bit needs the same versions on the same kind of device."""
    was = {**before["versions"], "device": before["device"], "dtype": before["dtype"]}
    is_now = {**now["versions"], "device": now["device"], "dtype": now["dtype"]}
    changed = [f"{name} was {was[name]}, is {is_now[name]}" for name in was if was[name] != is_now[name]]
    if changed:
        outcome.note(f"pixels may differ from the picture that is repeated: {'; '.join(changed)}")


def _tell(
    outcome: CommandOutput, drawn: GeneratedImage, output: Path, *, overlays: list[Path], masks: list[Path]
) -> None:
    made = drawn.provenance
    value = {
        "output": str(output),
        "overlay": str(overlays[0]) if overlays else None,
        "masks": [str(path) for path in masks],
        "seconds": drawn.timings,
        "provenance": made,
    }
    how = f"{made['width']} x {made['height']}, model {made['model']}, seed {made['seed']}, {made['steps']} steps"
    lines = [f"{output} ({how}, {drawn.timings['total']:.1f} s)", *map(str, [*overlays, *masks])]
    outcome.result(value, lines)
