"""The example workflows of the node pack: how they are put together, and how a saved one becomes a prompt.

    python -m tests.comfy.workflows

writes them and their pictures anew, in the environment of `make test-comfy`. Inputs, outputs and widgets of nodes are
those that ComfyUI says, so that a workflow cannot name one that is not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.comfy.comfyui import PACK, nodes
from tests.comfy.graph_pictures import TITLE, WIDTH, draw, height_of

EXAMPLES = PACK / "example_workflows"
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
CLIP_L, T5 = "clip_l.safetensors", "t5xxl_fp16.safetensors"
COLUMN, GAP = WIDTH + 90, 40

DOCUMENT = """{
  "prompt": "a kitchen table in the morning",
  "width": 1024,
  "height": 768,
  "instances": [
    {"id": "cat", "caption": "a tabby cat sitting", "box": [0.08, 0.2, 0.55, 0.95]},
    {"id": "vase", "caption": "a blue vase with tulips", "box": [0.4, 0.1, 0.72, 0.85]},
    {"id": "bowl", "caption": "a bowl of oranges", "box": [0.5, 0.6, 0.95, 0.92]}
  ],
  "order": {"front_to_back": ["bowl", "cat", "vase"]}
}"""
ELEMENTS = """[
  {"type": "obj", "bbox": [200, 80, 950, 550], "desc": "a tabby cat sitting"},
  {"type": "obj", "bbox": [100, 400, 850, 720], "desc": "a blue vase with tulips"},
  {"type": "obj", "bbox": [600, 500, 920, 950], "desc": "a bowl of oranges"}
]"""


@dataclass(frozen=True)
class Output:
    """One output of a node."""

    node: Placed
    slot: int


@dataclass(eq=False)
class Placed:
    """A node of a workflow."""

    number: int
    kind: str
    values: dict[str, Any]
    place: tuple[int, int] = (0, 0)

    def __getitem__(self, name: str) -> Output:
        return Output(self, [each for each, _ in outputs_of(self.kind)].index(name))


@dataclass
class Graph:
    """A workflow as it is put together, column by column."""

    placed: list[Placed] = field(default_factory=list)
    _heights: dict[int, int] = field(default_factory=dict)

    def add(self, column: int, kind: str, **values: Any) -> Placed:
        """A node; values are constants of widgets, or outputs of other nodes."""
        unknown = sorted(values.keys() - {name for name, _, _ in inputs_of(kind)})
        assert not unknown, f"{kind} has no {unknown}"
        made = Placed(len(self.placed) + 1, kind, values)
        top = self._heights.get(column, 0)
        made.place = (column * COLUMN, top)
        self.placed.append(made)
        self._heights[column] = top + height_of(saved_node(made, {})) + TITLE + GAP
        return made

    def saved(self) -> dict[str, Any]:
        """As ComfyUI's editor saves it."""
        links: list[list[Any]] = []
        numbers: dict[tuple[int, str], int] = {}
        for node in self.placed:
            for place, (name, type_, _) in enumerate(inputs_of(node.kind)):
                value = node.values.get(name)
                if isinstance(value, Output):
                    links.append([len(links) + 1, value.node.number, value.slot, node.number, place, type_])
                    numbers[node.number, name] = len(links)
        saved = [saved_node(node, numbers) for node in self.placed]
        for number, origin, slot, *_ in links:
            saved[origin - 1]["outputs"][slot]["links"].append(number)
        return {
            "id": "", "revision": 0, "last_node_id": len(saved), "last_link_id": len(links), "nodes": saved,
            "links": links, "groups": [], "config": {}, "extra": {}, "version": 0.4,
        }  # fmt: skip


def inputs_of(kind: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, type and options of every input of a node, in ComfyUI's order; a list of choices is a COMBO."""
    groups = nodes.NODE_CLASS_MAPPINGS[kind].INPUT_TYPES()
    found = []
    for group in ("required", "optional"):
        for name, (type_, *options) in groups.get(group, {}).items():
            given = options[0] if options else {}
            found.append((name, "COMBO" if isinstance(type_, list) else type_, {**given, "choices": type_}))
    return found


def outputs_of(kind: str) -> list[tuple[str, str]]:
    """Name and type of every output."""
    node = nodes.NODE_CLASS_MAPPINGS[kind]
    names = getattr(node, "RETURN_NAMES", None) or node.RETURN_TYPES
    return [(str(name), str(type_)) for name, type_ in zip(names, node.RETURN_TYPES, strict=True)]


def is_widget(type_: str) -> bool:
    return type_ in WIDGETS


def saved_node(node: Placed, numbers: dict[tuple[int, str], int]) -> dict[str, Any]:
    """One node as the editor saves it; numbers: links by node and input."""
    inputs, widgets = [], []
    for name, type_, options in inputs_of(node.kind):
        entry = {"name": name, "type": type_, "link": numbers.get((node.number, name))}
        if is_widget(type_):
            value = node.values.get(name)
            default = options.get("default", options["choices"][0] if type_ == "COMBO" and options["choices"] else "")
            widgets.append(default if value is None or isinstance(value, Output) else value)
            entry["widget"] = {"name": name}
            if options.get("control_after_generate"):
                widgets.append("fixed")
        inputs.append(entry)
    node_class = nodes.NODE_CLASS_MAPPINGS[node.kind]
    made = {
        "id": node.number, "type": node.kind, "pos": list(node.place), "size": [WIDTH, 0], "flags": {},
        "order": node.number - 1, "mode": 0, "inputs": inputs,
        "outputs": [{"name": name, "type": type_, "links": []} for name, type_ in outputs_of(node.kind)],
        "title": nodes.NODE_DISPLAY_NAME_MAPPINGS.get(node.kind, getattr(node_class, "TITLE", node.kind)),
        "properties": {"Node name for S&R": node.kind}, "widgets_values": widgets,
    }  # fmt: skip
    made["size"][1] = height_of(made)
    return made


def as_prompt(saved: dict[str, Any]) -> dict[str, Any]:
    """What the editor sends for a saved workflow: inputs by name, linked or constant."""
    origins = {number: [str(origin), slot] for number, origin, slot, *_ in saved["links"]}
    prompt = {}
    for node in saved["nodes"]:
        widgets = iter(node["widgets_values"])
        controlled = {name for name, _, options in inputs_of(node["type"]) if options.get("control_after_generate")}
        inputs: dict[str, Any] = {}
        for entry in node["inputs"]:
            if "widget" in entry:
                inputs[entry["name"]] = next(widgets)
                if entry["name"] in controlled:
                    next(widgets)
            if entry["link"] is not None:
                inputs[entry["name"]] = origins[entry["link"]]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
        assert next(widgets, None) is None, f"{node['type']} has values for widgets that it has not"
    return prompt


def loaders(graph: Graph) -> tuple[Placed, Placed, Placed, Placed]:
    """FLUX.1-dev, its text encoders, its autoencoder and the branch."""
    return (
        graph.add(0, "UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
        graph.add(0, "DualCLIPLoader", clip_name1=CLIP_L, clip_name2=T5, type="flux"),
        graph.add(0, "VAELoader", vae_name="ae.safetensors"),
        graph.add(0, "OcclusionFormerLoadBranch", name="occlusionformer/"),
    )


def sampled(graph: Graph, model: Output, positive: Output, latents: Output, column: int) -> Placed:
    """A sampler for a distilled model: guidance is in the positive conditioning, the negative one is not used."""
    guided = graph.add(column, "FluxGuidance", conditioning=positive, guidance=3.5)
    unused = graph.add(column, "ConditioningZeroOut", conditioning=positive)
    return graph.add(
        column, "KSampler", model=model, positive=guided["CONDITIONING"], negative=unused["CONDITIONING"],
        latent_image=latents, seed=1, steps=20, cfg=1.0, sampler_name="euler", scheduler="simple",
    )  # fmt: skip


def from_a_layout() -> Graph:
    """A layout as text, drawn with its order."""
    graph = Graph()
    model, clip, vae, branch = loaders(graph)
    layout = graph.add(1, "OcclusionFormerLayout", document=DOCUMENT)
    prompt = graph.add(2, "CLIPTextEncode", clip=clip["CLIP"], text=layout["prompt"])
    applied = graph.add(
        2, "OcclusionFormerApply", model=model["MODEL"], clip=clip["CLIP"], branch=branch["branch"],
        layout=layout["layout"],
    )  # fmt: skip
    empty = graph.add(2, "EmptySD3LatentImage", width=layout["width"], height=layout["height"])
    graph.add(2, "PreviewImage", images=layout["drawn"])
    sampler = sampled(graph, applied["model"], prompt["CONDITIONING"], empty["LATENT"], 3)
    picture = graph.add(4, "VAEDecode", samples=sampler["LATENT"], vae=vae["VAE"])
    graph.add(4, "SaveImage", images=picture["IMAGE"], filename_prefix="layout")
    graph.add(4, "PreviewAny", source=layout["report"])
    return graph


def boxes_and_masks() -> Graph:
    """Boxes of another node, relations in words, masks of the instances, maps for control models."""
    graph = Graph()
    model, clip, vae, branch = loaders(graph)
    boxes = graph.add(1, "PrimitiveStringMultiline", value=ELEMENTS)
    layout = graph.add(
        1, "OcclusionFormerLayout", boxes=boxes["STRING"], prompt="a kitchen table in the morning", width=1024,
        height=768, order="relations: cat > dog", relations="a bowl of oranges > a tabby cat sitting\n1 > 2",
    )  # fmt: skip
    maps = graph.add(2, "OcclusionFormerLayoutMaps", layout=layout["layout"])
    graph.add(3, "PreviewImage", images=maps["colours"])
    graph.add(3, "PreviewImage", images=maps["depth"])
    prompt = graph.add(2, "CLIPTextEncode", clip=clip["CLIP"], text=layout["prompt"])
    applied = graph.add(
        2, "OcclusionFormerApply", model=model["MODEL"], clip=clip["CLIP"], branch=branch["branch"],
        layout=layout["layout"], masks=True,
    )  # fmt: skip
    empty = graph.add(2, "EmptySD3LatentImage", width=layout["width"], height=layout["height"])
    sampler = sampled(graph, applied["model"], prompt["CONDITIONING"], empty["LATENT"], 3)
    picture = graph.add(4, "VAEDecode", samples=sampler["LATENT"], vae=vae["VAE"])
    graph.add(4, "SaveImage", images=picture["IMAGE"], filename_prefix="boxes")
    masks = graph.add(4, "OcclusionFormerInstanceMasks", model=applied["model"], samples=sampler["LATENT"])
    shown = graph.add(4, "MaskToImage", mask=masks["masks"])
    graph.add(4, "PreviewImage", images=shown["IMAGE"])
    return graph


def order_sheet() -> Graph:
    """The same boxes from the same noise under several orders."""
    graph = Graph()
    model, clip, vae, branch = loaders(graph)
    layout = graph.add(1, "OcclusionFormerLayout", document=DOCUMENT)
    sheet = graph.add(
        2, "OcclusionFormerOrderSheet", layout=layout["layout"],
        orders="bowl > cat > vase\ncat > vase > bowl\nvase > bowl > cat", most=3,
    )  # fmt: skip
    prompt = graph.add(2, "CLIPTextEncode", clip=clip["CLIP"], text=layout["prompt"])
    applied = graph.add(
        2, "OcclusionFormerApply", model=model["MODEL"], clip=clip["CLIP"], branch=branch["branch"],
        layout=sheet["layouts"],
    )  # fmt: skip
    sampler = sampled(graph, applied["model"], prompt["CONDITIONING"], sheet["latents"], 3)
    picture = graph.add(4, "VAEDecode", samples=sampler["LATENT"], vae=vae["VAE"])
    graph.add(4, "SaveImage", images=picture["IMAGE"], filename_prefix="orders")
    graph.add(4, "PreviewAny", source=sheet["titles"])
    return graph


def with_a_reference() -> Graph:
    """FLUX.1 Kontext: a layout beside a reference picture, whose tokens it leaves alone."""
    graph = Graph()
    model, clip, vae, branch = loaders(graph)
    model.values["unet_name"] = "flux1-dev-kontext.safetensors"
    image = graph.add(0, "LoadImage", image="reference.png")
    layout = graph.add(1, "OcclusionFormerLayout", document=DOCUMENT)
    encoded = graph.add(1, "VAEEncode", pixels=image["IMAGE"], vae=vae["VAE"])
    prompt = graph.add(2, "CLIPTextEncode", clip=clip["CLIP"], text=layout["prompt"])
    reference = graph.add(2, "ReferenceLatent", conditioning=prompt["CONDITIONING"], latent=encoded["LATENT"])
    applied = graph.add(
        2, "OcclusionFormerApply", model=model["MODEL"], clip=clip["CLIP"], branch=branch["branch"],
        layout=layout["layout"],
    )  # fmt: skip
    empty = graph.add(2, "EmptySD3LatentImage", width=layout["width"], height=layout["height"])
    sampler = sampled(graph, applied["model"], reference["CONDITIONING"], empty["LATENT"], 3)
    picture = graph.add(4, "VAEDecode", samples=sampler["LATENT"], vae=vae["VAE"])
    graph.add(4, "SaveImage", images=picture["IMAGE"], filename_prefix="reference")
    return graph


WORKFLOWS = {
    "from_a_layout": from_a_layout,
    "boxes_and_masks": boxes_and_masks,
    "order_sheet": order_sheet,
    "with_a_reference": with_a_reference,
}


def texts() -> Iterator[tuple[Path, str]]:
    """The file of every workflow and what it has to hold."""
    for name, make in WORKFLOWS.items():
        yield EXAMPLES / f"{name}.json", json.dumps(make().saved(), indent=1) + "\n"


if __name__ == "__main__":
    EXAMPLES.mkdir(exist_ok=True)
    for path, text in texts():
        path.write_text(text)
        draw(json.loads(text)).save(path.with_suffix(".jpg"), quality=85)
