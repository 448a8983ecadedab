"""Layouts in the formats others use. The format is always named, never guessed, and nothing is repaired or dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from occlusionformer.layout.formats.coco import COCO
from occlusionformer.layout.formats.comfy import COMFY
from occlusionformer.layout.formats.flux3 import FLUX3
from occlusionformer.layout.formats.format import Format, ListOrder, ReadOptions
from occlusionformer.layout.formats.gligen import DIFFUSERS_GLIGEN, GLIGEN
from occlusionformer.layout.formats.ideogram4 import IDEOGRAM4
from occlusionformer.layout.formats.larender import LARENDER
from occlusionformer.layout.formats.losses import losses
from occlusionformer.layout.formats.ming import MING
from occlusionformer.layout.formats.native import NATIVE
from occlusionformer.layout.formats.omost import OMOST
from occlusionformer.layout.formats.overlaybench import OVERLAYBENCH
from occlusionformer.layout.formats.published import PUBLISHED
from occlusionformer.layout.formats.sa_z import SA_Z
from occlusionformer.layout.formats.simpletuner import SIMPLETUNER
from occlusionformer.layout.limits import LAYOUTS
from occlusionformer.layout.problems import LayoutError, Problem, one_of, shown
from occlusionformer.layout.schema import CyclePolicy, Layout
from occlusionformer.layout.text import text_of
from occlusionformer.layout.values import is_told, plain_value, unfit_parts

__all__ = ["FORMATS", "Format", "Source", "read_layout", "read_layouts", "write_layout", "write_layouts"]

ALL = (
    NATIVE, PUBLISHED, SA_Z, OVERLAYBENCH, COCO, SIMPLETUNER, COMFY, IDEOGRAM4, FLUX3, MING, GLIGEN, DIFFUSERS_GLIGEN,
    LARENDER, OMOST,
)  # fmt: skip
FORMATS: Mapping[str, Format] = {form.name: form for form in ALL}

Source = str | bytes | Path | Mapping[str, object] | Sequence[object]
"""A document: its text, its bytes, the path of its file (a str is never a path), or its value, parsed already."""


def read_layouts(  # noqa: PLR0913 - a parameter for every option of a format
    source: Source,
    format: str = "native",
    *,
    prompt: str | None = None,
    width: int | None = None,
    height: int | None = None,
    cycles: CyclePolicy | None = None,
    regions: bool | None = None,
    image: str | None = None,
    list_order: ListOrder | None = None,
) -> list[Layout]:
    """All layouts of a document in one of FORMATS.

    `prompt`, `width` and `height` are for documents that do not hold them, `prompt` also for images
    without a caption (coco). `cycles` is what the layouts do about loops in their order, where the document
    cannot say; `regions=False` leaves masks unread (coco, sa-z); `image` is the id or the file name of the only image
    to read (coco). `list_order` is which end of a list of boxes is in front, or that its places mean nothing (comfy).
    An option that means nothing to the format is refused.

    A document beyond the limits of `layout.limits` is refused before anything is made of it. Numbers may be numpy's.

    Raises LayoutError with every problem of the document, each with its path there, at most a hundred; and OSError
    for a file that cannot be read.
    """
    form = _format(format)
    options = ReadOptions(
        prompt=prompt, width=width, height=height, cycles=cycles, regions=regions, image=image, list_order=list_order
    )
    form.check(options)
    document = form.from_text(text_of(source), LAYOUTS) if isinstance(source, str | bytes | Path) else source
    unfit = unfit_parts(document, LAYOUTS)
    if document is source:
        document = plain_value(source)
    found: Sequence[Problem] = ()
    layouts: list[Layout] = []
    try:
        layouts = form.read(document, options)
    except LayoutError as error:
        found = error.details
    told = frozenset(problem.path for problem in found)
    numbers = [problem for problem in unfit.numbers if not is_told(problem, told)]
    if problems := [*unfit.names, *numbers, *found]:
        raise LayoutError([*problems, *_other_format(document, form)])
    return layouts


def read_layout(  # noqa: PLR0913 - a parameter for every option of a format
    source: Source,
    format: str = "native",
    *,
    prompt: str | None = None,
    width: int | None = None,
    height: int | None = None,
    cycles: CyclePolicy | None = None,
    regions: bool | None = None,
    image: str | None = None,
    list_order: ListOrder | None = None,
) -> Layout:
    """The layout of a document that holds exactly one; otherwise like `read_layouts`."""
    layouts = read_layouts(
        source,
        format,
        prompt=prompt,
        width=width,
        height=height,
        cycles=cycles,
        regions=regions,
        image=image,
        list_order=list_order,
    )
    if len(layouts) != 1:
        raise LayoutError([f"expected a document with one layout, got {len(layouts)}"])
    return layouts[0]


def write_layouts(layouts: Sequence[Layout], format: str = "native", *, lossy: bool = False) -> str:
    """The text of a document with any number of layouts in one of FORMATS.

    Raises LayoutError with every field that the format cannot hold, unless `lossy`: then they are left
    out, and relations are written as they come out of the policy on loops and the closure.
    """
    form = _format(format)
    return _text(layouts, form.write_all(layouts), form, lossy)


def write_layout(layout: Layout, format: str = "native", *, lossy: bool = False) -> str:
    """The text of a document with one layout; otherwise like `write_layouts`."""
    form = _format(format)
    return _text([layout], form.write_one(layout), form, lossy)


def _text(layouts: Sequence[Layout], document: object, form: Format, lossy: bool) -> str:
    if not lossy and (problems := losses(layouts, document, form)):
        raise LayoutError(problems)
    return form.to_text(document) + "\n"


def _other_format(document: object, form: Format) -> Iterator[Problem]:
    """That a document has fields of other formats and none of its own."""
    first = document[0] if isinstance(document, list | tuple) and document else document
    if isinstance(first, Mapping) and not any(name in form.marks for name in first):
        others = [other.name for other in FORMATS.values() if any(name in other.marks for name in first)]
        if others:
            yield Problem((), f"expected a document of the {form.name} format, got fields of {one_of(others, 'and')}")


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise LayoutError([Problem(("format",), f"expected {one_of(FORMATS)}, got {shown(name)}")])
    return FORMATS[name]
