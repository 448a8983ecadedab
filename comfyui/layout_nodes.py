"""Nodes that make and show layouts."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import torch
from comfy_api.latest import io

from occlusionformer.apps.variants import order_variants
from occlusionformer.generation import compose_prompt
from occlusionformer.layout import FrontToBack, Layout, write_layout
from occlusionformer.layout.formats import FORMATS
from occlusionformer.layout.formats.comfy import boxes_of, layers_of

from .flux_model import LATENT_CHANNELS, LATENT_PIXELS
from .layout_maps import colour_map, depth_map, drawn
from .layout_reading import DECLARED, LOOPS, ORDERS, LoopPolicy, Wishes, chain_of, layouts_from, parsed
from .socket_types import CATEGORY, BoxesType, LayersType, LayoutType

LARGEST_SIDE = 16384
MOST_ORDERS = 64

ORDER_HELP = """Who is in front where boxes overlap.
- as the boxes or the document say: ComfyUI's own lists go from back to front, LAYERS by z_index
- list, the last is in front: places in the list count, from back to front
- list, the first is in front: the other way round, as KJNodes' builder has it
- relations: lines below, "cat > dog" for in front of, or "cat: 1.5" for distances, the smaller in front
- no order: overlapping instances are averaged"""


class MakeLayout(io.ComfyNode):
    """Boxes, words and an order become a layout."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OcclusionFormerLayout",
            display_name="OcclusionFormer Layout",
            category=CATEGORY,
            description="What is to be drawn where, and who is in front of whom.",
            inputs=[
                io.MultiType.Input(
                    "boxes", types=[BoxesType, LayersType, io.String], optional=True,
                    tooltip="BOUNDING_BOX or LAYERS of another node, or text with such boxes or elements as JSON.",
                ),
                io.String.Input("document", multiline=True, default="", tooltip="A layout as text, instead of boxes."),
                io.Combo.Input("format", options=list(FORMATS), default="native", tooltip="Of the document."),
                io.String.Input(
                    "prompt", multiline=True, default="",
                    tooltip="The whole picture in words. Empty: as the document says; boxes need it.",
                ),
                io.Int.Input(
                    "width", default=0, min=0, max=LARGEST_SIDE, step=8,
                    tooltip="Of the canvas in pixels. 0: as the document or LAYERS say; boxes and elements need it.",
                ),
                io.Int.Input("height", default=0, min=0, max=LARGEST_SIDE, step=8, tooltip="As width."),
                io.String.Input(
                    "captions", multiline=True, default="",
                    tooltip="One line for each box, in the order of the list. Empty lines leave boxes their own words.",
                ),
                io.Combo.Input("order", options=list(ORDERS), default=DECLARED, tooltip=ORDER_HELP),
                io.String.Input(
                    "relations", multiline=True, default="",
                    tooltip="For the order by relations: names are ids, captions or, for plain boxes, their numbers "
                    "from 1. A line cat > dog > vase has the cat in front; cat: 1.5 is a distance.",
                ),
                io.Combo.Input(
                    "cycles", options=list(LOOPS), default=LOOPS[0],
                    tooltip="About a loop in the order: refuse it, keep it (mutual occlusion) or break it. A document "
                    "in our own format with a loop in it has to say so itself.",
                ),
            ],
            outputs=[
                LayoutType.Output("layout", display_name="layout"),
                io.String.Output("whole_prompt", display_name="prompt", tooltip="With all captions, as FLUX reads it."),
                io.Int.Output("canvas_width", display_name="width"),
                io.Int.Output("canvas_height", display_name="height"),
                io.Image.Output("picture", display_name="drawn", tooltip="Boxes, captions and who is over whom."),
                io.String.Output("report", display_name="report", tooltip="The order in words, and what may be amiss."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(  # noqa: PLR0913 (the node's inputs)
        cls,
        document: str,
        format: str,
        prompt: str,
        width: int,
        height: int,
        captions: str,
        order: str,
        relations: str,
        cycles: LoopPolicy,
        boxes: Any = None,
    ) -> io.NodeOutput:
        wishes = Wishes(
            prompt=prompt.strip(),
            width=width,
            height=height,
            captions=captions,
            order=order,
            relations=relations,
            cycles=cycles,
        )
        read = layouts_from(boxes, document, format, wishes)
        first = read.layouts[0]
        return io.NodeOutput(
            read.layouts,
            compose_prompt(first),
            first.width,
            first.height,
            _batch([drawn(layout) for layout in read.layouts]),
            "\n".join(read.notes),
        )


class OrderSheet(io.ComfyNode):
    """The same boxes under several orders."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OcclusionFormerOrderSheet",
            display_name="OcclusionFormer Order Sheet",
            category=CATEGORY,
            description="A batch with one picture for each order, all from the same noise.",
            inputs=[
                LayoutType.Input("layout", tooltip="One layout."),
                io.String.Input(
                    "orders", multiline=True, default="",
                    tooltip="One order a line, the nearest first: cat > dog > vase. Empty: the declared order and all "
                    "others worth seeing.",
                ),
                io.Int.Input("most", default=6, min=1, max=MOST_ORDERS, tooltip="Pictures at most."),
            ],
            outputs=[
                LayoutType.Output("layouts", display_name="layouts"),
                io.Latent.Output("latents", display_name="latents", tooltip="Empty, one each, with the same noise."),
                io.Int.Output("count", display_name="count"),
                io.String.Output("titles", display_name="titles", is_output_list=True),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, layout: tuple[Layout, ...], orders: str, most: int) -> io.NodeOutput:
        if len(layout) != 1:
            raise ValueError(f"layout: expected one, got {len(layout)}")
        (only,) = layout
        variants = _listed(only, orders) if orders.strip() else _worth_seeing(only)
        variants = variants[:most]
        size = (only.height // LATENT_PIXELS, only.width // LATENT_PIXELS)
        empty = torch.zeros(len(variants), LATENT_CHANNELS, *size, device=comfy.model_management.intermediate_device())
        latents = {"samples": empty, "batch_index": [0] * len(variants)}
        layouts = tuple(variant for variant, _ in variants)
        return io.NodeOutput(layouts, latents, len(variants), [title for _, title in variants])


class LayoutMaps(io.ComfyNode):
    """A layout for other nodes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OcclusionFormerLayoutMaps",
            display_name="OcclusionFormer Layout to Maps",
            category=CATEGORY,
            description="The layout as LAYERS, boxes and text, and as colour and depth maps for control models.",
            inputs=[LayoutType.Input("layout", tooltip="Of several, lists hold the first, pictures all.")],
            outputs=[
                LayersType.Output("layers", display_name="LAYERS", tooltip="Without pictures; z_index 0 is the back."),
                BoxesType.Output("boxes", display_name="BOUNDING_BOX", tooltip="From back to front."),
                io.Image.Output("colours", display_name="colours", tooltip="A flat colour for each instance on black."),
                io.Image.Output("depth", display_name="depth", tooltip="By the order: near is white, ground black."),
                io.String.Output("document", display_name="document", tooltip="The layout in our own format."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, layout: tuple[Layout, ...]) -> io.NodeOutput:
        return io.NodeOutput(
            layers_of(layout[0]),
            boxes_of(layout[0]),
            _batch([colour_map(each) for each in layout]),
            _batch([depth_map(each) for each in layout]),
            write_layout(layout[0]),
        )


def _worth_seeing(layout: Layout) -> list[tuple[Layout, str]]:
    variants = order_variants(layout)
    return [(each.layout, f"{each.title}: {each.detail}" if each.detail else each.title) for each in variants]


def _listed(layout: Layout, orders: str) -> list[tuple[Layout, str]]:
    chains = list(parsed(orders, layout, chain_of, field="orders"))
    return [
        (layout.model_copy(update={"order": FrontToBack(front_to_back=chain)}), " > ".join(chain)) for chain in chains
    ]


def _batch(pictures: list[torch.Tensor]) -> torch.Tensor:
    """Pictures (height, width, 3) as one batch; smaller ones are padded with black below and to the right."""
    height, width = (max(picture.shape[side] for picture in pictures) for side in (0, 1))
    batch = torch.zeros(len(pictures), height, width, 3)
    for place, picture in enumerate(pictures):
        batch[place, : picture.shape[0], : picture.shape[1]] = picture
    return batch


LAYOUT_NODES: list[type[io.ComfyNode]] = [MakeLayout, OrderSheet, LayoutMaps]
