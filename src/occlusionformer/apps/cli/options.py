"""Arguments and options that several commands share: the same word means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from occlusionformer.generation.computing import ComputedIn
from occlusionformer.layout import FORMATS
from occlusionformer.layout.formats.listing import LIST_ORDERS

FORMAT_NAMES = ", ".join(FORMATS)


def with_option(name: str) -> str:
    """The formats that an option means something to."""
    return ", ".join(form.name for form in FORMATS.values() if name in form.options)


LayoutPath = Annotated[
    Path,
    typer.Argument(
        metavar="LAYOUT", help="A layout file, or a PNG that `generate` wrote; - for a pipe.", show_default=False
    ),
]
FormatOption = Annotated[str, typer.Option("--format", help=f"Format of the layout file: {FORMAT_NAMES}.")]
PromptOption = Annotated[
    str | None, typer.Option(help=f"The prompt, for formats whose documents may have none ({with_option('prompt')}).")
]
CanvasOption = Annotated[
    str | None,
    typer.Option(
        metavar="WxH", help=f"The canvas in pixels, for formats whose documents may have none ({with_option('width')})."
    ),
]
ImageOption = Annotated[
    str | None,
    typer.Option(metavar="ID_OR_FILE", help="Which image of a document with several: its id or its file name (coco)."),
]
NoRegionsOption = Annotated[
    bool, typer.Option("--no-regions", help="Leave masks and polygons unread: boxes alone (coco, sa-z).")
]
ListOrderOption = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(LIST_ORDERS),
        help=f"Which end of a list of boxes is in front, where it may be either ({with_option('list_order')}).",
    ),
]
CyclesOption = Annotated[
    str | None,
    typer.Option(metavar="error|allow|break", help="What to do about loops, for formats that cannot say it."),
]
MaxInstancesOption = Annotated[int, typer.Option(min=0, help="Layouts with more instances than this are refused.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="embedded, a pipeline folder, or flux-dev:CHECKPOINT. [default: embedded, or the model of the PNG]",
        show_default=False,
    ),
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(get_args(ComputedIn)),
        help="Numbers that the embedded model computes in; auto: bf16 on processors that are faster in it (AMX, "
        "AVX-512 bf16), else fp32. The picture's record says which. [default: auto, or those of the PNG]",
        show_default=False,
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option(help="Start of the random numbers. [default: the layout's, else a new one]", show_default=False),
]
StepsOption = Annotated[int | None, typer.Option(help="Denoising steps. [default: the model's]", show_default=False)]
GuidanceOption = Annotated[
    float | None, typer.Option(help="Guidance of a distilled backbone. [default: the model's]", show_default=False)
]
GroundingRatioOption = Annotated[
    float | None,
    typer.Option(
        help="Share of the steps, from the first, on which the layout is obeyed. [default: the model's]",
        show_default=False,
    ),
]
StrengthOption = Annotated[
    float | None,
    typer.Option(help="Factor on what the layout adds; 0 is the backbone alone. [default: 1]", show_default=False),
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="WxH|nearest",
        help="Size of the picture in pixels; nearest: the layout's, or the next one that the model can draw. "
        "[default: the layout's]",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON value on stdout, problems included, and nothing else.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print no warnings and no notes.")]

MAX_INSTANCES = 1000
"""The model has no limit; a typing mistake in a script should not fill the memory."""
