"""The model card of a published pipeline: metadata for the Hub, examples for all ways of loading, measured figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pprint import pformat
from textwrap import indent
from typing import Any

from huggingface_hub import ModelCardData

from occlusionformer.layout import Layout, write_layout

EXAMPLE, PICTURE = "example.json", "example.png"

REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
LINK = re.compile(r"https://[^\s<>\"]+")


@dataclass(frozen=True, kw_only=True)
class FigureTable:
    """Figures of one evaluation: rows of title, value, ends of the 95% interval, and pictures it is the mean of."""

    title: str
    rows: tuple[tuple[str, float, float | None, float | None, int], ...]


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What a model card says beside the model's own settings.

    repo: the id on the Hub, as user/name. licence: its identifier there, as apache-2.0; "other" needs a name and a
    link. base_model: the id of the model whose weights are in the folder; None where all were trained for it.
    layout: the example's, two fruits where there is none. picture: the bytes of a PNG drawn from it.
    """

    repo: str
    licence: str
    licence_name: str | None = None
    licence_link: str | None = None
    base_model: str | None = None
    layout: Layout | None = None
    picture: bytes | None = None
    figures: tuple[FigureTable, ...] = ()


def description_problems(
    *, repo: str, licence: str | None, licence_name: str | None, licence_link: str | None, base_model: str | None
) -> list[str]:
    """What is wrong with the words of a description, by the names of the command line's options."""
    problems = []
    if not REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        problems.append(f"--repo: expected USER/NAME of letters, digits, '.', '_' and '-', got {repo!r:.100}")
    if licence is None:
        problems.append("--licence: expected an identifier of the Hub, as apache-2.0, or other; got nothing")
    elif not LICENCE.fullmatch(licence):
        problems.append(f"--licence: expected an identifier of the Hub, as apache-2.0, or other; got {licence!r:.100}")
    for option, value in (("--licence-name", licence_name), ("--licence-link", licence_link)):
        if (licence == "other") != (value is not None):
            wanted = "one with --licence other" if licence == "other" else "none without --licence other"
            problems.append(f"{option}: expected {wanted}, got {'nothing' if value is None else repr(value)[:100]}")
    if licence_name is not None and not LICENCE.fullmatch(licence_name):
        problems.append(f"--licence-name: expected a short name, as my-licence-1.0, got {licence_name!r:.100}")
    if licence_link is not None and not LINK.fullmatch(licence_link):
        problems.append(f"--licence-link: expected an address that begins with https://, got {licence_link!r:.100}")
    if base_model is not None and (not REPO.fullmatch(base_model) or "/" not in base_model):
        problems.append(f"--base-model: expected a model of the Hub, as user/name, got {base_model!r:.100}")
    return problems


def card_text(described: ModelDescription, layout: Layout, index: Mapping[str, Any]) -> str:
    """The card; layout: that of the example, index: the model_index.json it belongs to."""
    metadata = ModelCardData(
        license=described.licence,
        license_name=described.licence_name,
        license_link=described.licence_link,
        base_model=described.base_model,
        library_name="diffusers",
        pipeline_tag="text-to-image",
        tags=["layout-to-image", "occlusionformer", "modular-diffusers"],
    )
    parts = [
        f"---\n{metadata.to_yaml()}\n---",
        f"# {described.repo.rpartition('/')[2]}",
        "Draws captioned boxes in a declared order: who is in front of whom. A FLUX pipeline of diffusers with the "
        f"layout method `{index['branch'][1]}` beside its transformer. Without a layout it is the backbone alone.",
        *([f"![Drawn from {EXAMPLE}]({PICTURE})"] if described.picture is not None else []),
        "## Use",
        _code("pip install occlusionformer", ""),
        _code(_example(described.repo, layout), "python"),
        "or with diffusers' own loaders, which run the few lines of `pipeline.py` or `block.py` beside the weights:",
        _code(_other_loaders(described.repo), "python"),
        _defaults(index),
        *_figures(described.figures),
        "## Licence",
        _licence(described),
    ]
    return "\n\n".join(parts) + "\n"


def _example(repo: str, layout: Layout) -> str:
    """Python that draws the layout, which is written out so that it can be changed."""
    document = pformat(json.loads(write_layout(layout)), width=100, sort_dicts=False)
    return f"""import torch
from occlusionformer.layout import read_layout
from occlusionformer.pipelines import OcclusionFormerPipeline

layout = read_layout(
{indent(document, "    ")}
)
pipeline = OcclusionFormerPipeline.from_pretrained("{repo}")
picture = pipeline(layout=layout, generator=torch.Generator("cpu").manual_seed({layout.seed or 0})).images[0]
picture.save("picture.png")"""


def _other_loaders(repo: str) -> str:
    return f"""from diffusers import DiffusionPipeline, ModularPipeline

pipeline = DiffusionPipeline.from_pretrained("{repo}", custom_pipeline="{repo}", trust_remote_code=True)
picture = pipeline(layout=layout, generator=torch.Generator("cpu").manual_seed(0)).images[0]

modular = ModularPipeline.from_pretrained("{repo}", trust_remote_code=True)
modular.load_components()
picture = modular(layout=layout, generator=torch.Generator("cpu").manual_seed(0), output="images")[0]"""


def _defaults(index: Mapping[str, Any]) -> str:
    steps, share, guidance, size = (
        index[f"default_{name}"] for name in ("steps", "grounding_ratio", "guidance", "size")
    )
    return (
        f"Defaults, stored with the model: {steps} steps, the layout on {share:.0%} of them, from the first "
        f"(`grounding_ratio`), guidance {guidance:g}, {size} pixels a side."
    )


def _figures(tables: Iterable[FigureTable]) -> Iterable[str]:
    tables = list(tables)
    if tables:
        yield "## Figures"
    for table in tables:
        yield table.title
        lines = ["| figure | value | 95% interval | pictures |", "|---|---|---|---|"]
        for title, value, low, high, pictures in table.rows:
            interval = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
            lines.append(f"| {_cell(title)} | {value:.3f} | {interval} | {pictures} |")
        yield "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _licence(described: ModelDescription) -> str:
    named = described.licence
    if described.licence == "other":
        named = f"[{described.licence_name}]({described.licence_link})"
    based = (
        ""
        if described.base_model is None
        else (
            f" The weights of the backbone are those of [{described.base_model}](https://huggingface.co/"
            f"{described.base_model}), whose licence holds for them."
        )
    )
    return f"{named}.{based} The code that runs it, occlusionformer, is Apache-2.0."


def _code(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```"
