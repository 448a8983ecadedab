"""The command `orders`: the same boxes under every order worth seeing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import CommandOutput, ending
from occlusionformer.apps.cli.draw_request import DrawSettings, draw, draw_request_for
from occlusionformer.apps.cli.sources import SourceOptions
from occlusionformer.apps.drawing import Labelled, contact_sheet
from occlusionformer.apps.variants import OrderVariant, order_variants
from occlusionformer.generation import choose_seed
from occlusionformer.layout import write_atomic

MOST_PICTURES = 24
"""With many overlaps, only the widest are shown unless asked for."""


def orders(  # noqa: PLR0913 - a parameter for every option
    layout: options.LayoutPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet.", show_default=False)],
    format: options.FormatOption = "native",
    model: options.ModelOption = None,
    precision: options.PrecisionOption = None,
    seed: options.SeedOption = None,
    steps: options.StepsOption = None,
    guidance: options.GuidanceOption = None,
    grounding_ratio: options.GroundingRatioOption = None,
    strength: options.StrengthOption = None,
    size: options.SizeOption = None,
    max_pictures: Annotated[int, typer.Option(min=1, help="The most pictures on the sheet.")] = MOST_PICTURES,
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
    """Draw the same boxes from the same seed under every order worth seeing, on one labelled sheet.

    First the declared order; then every other order of up to three instances, or each pair of overlapping instances
    swapped in turn.
    """
    reading = SourceOptions(
        format, prompt, canvas, cycles, most=max_instances, image=image, boxes_only=no_regions, list_order=list_order
    )
    settings = DrawSettings(
        seed=seed, steps=steps, guidance=guidance, grounding_ratio=grounding_ratio, strength=strength, size=size
    )
    with ending(as_json, quiet=quiet) as outcome:
        asked = draw_request_for(layout, output, reading=reading, settings=settings, model=model, precision=precision)
        variants = order_variants(asked.request.layout)
        shown = variants[:max_pictures]
        chosen_seed = choose_seed(asked.request)
        requests = [replace(asked.request, layout=variant.layout, seed=chosen_seed) for variant in shown]
        drawn = draw(requests, asked.model, asked.precision)
        sheet = contact_sheet(
            [
                Labelled(image=picture.image, title=variant.title, detail=variant.detail)
                for picture, variant in zip(drawn, shown, strict=True)
            ]
        )
        encoded = io.BytesIO()
        sheet.save(encoded, format="PNG")
        write_atomic(output, encoded.getvalue())
        _tell(outcome, output, seed=chosen_seed, shown=shown, num_variants=len(variants))


def _tell(outcome: CommandOutput, output: Path, *, seed: int, shown: Sequence[OrderVariant], num_variants: int) -> None:
    value = {
        "output": str(output),
        "seed": seed,
        "pictures": [{"title": variant.title, "front_to_back": variant.detail} for variant in shown],
        "left_out": num_variants - len(shown),
    }
    lines = [f"{output} ({len(shown)} pictures, seed {seed})"]
    if len(shown) < num_variants:
        lines.append(f"{num_variants - len(shown)} orders are left out; --max-pictures {num_variants} shows all")
    outcome.result(value, [*lines, *(f"{variant.title}: {variant.detail}" for variant in shown)])
