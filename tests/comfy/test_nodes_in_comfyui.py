"""Every node by itself: its schema, what it makes, and what it refuses with which words."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import folder_paths
import pytest
import torch
from comfy_config.config_parser import extract_node_configuration
from safetensors.torch import save_file

from occlusionformer.layout import Box, Layout, LayoutError, RunLength, write_layout
from occlusionformer.layout.formats import FORMATS
from occlusionformer.methods.instanceassemble import InstanceAssemble
from occlusionformer.methods.none import NoLayout
from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.model import OcclusionBranch, instance_assemble, paper, published
from occlusionformer.model.checkpoint import published_state
from occlusionformer.tensors.files import CheckpointError
from tests.comfy.comfyui import PACK, PACK_MODULE, node, nodes, pack
from tests.comfy.drawing import Pair, Picture, by_package, patched, sampled
from tests.comfy.tiny import branch, comfy_model, greatest, scene, shape_of, transformer
from tests.tables import for_each

NAMES = (
    "OcclusionFormerLoadBranch", "OcclusionFormerApply", "OcclusionFormerInstanceMasks", "OcclusionFormerLayout",
    "OcclusionFormerOrderSheet", "OcclusionFormerLayoutMaps",
)  # fmt: skip
BOXES = [
    {"x": 10, "y": 20, "width": 500, "height": 400, "metadata": {"desc": "a cat"}},
    {"x": 300, "y": 100, "width": 400, "height": 600, "metadata": {"desc": "a dog"}},
    {"x": 400, "y": 400, "width": 300, "height": 300, "metadata": {"desc": "a vase"}},
]
DEFAULTS = {
    "document": "", "format": "native", "prompt": "a room", "width": 1000, "height": 800, "captions": "",
    "order": "as the boxes or the document say", "relations": "", "cycles": "as the document says",
}  # fmt: skip


def outputs(name: str, /, **inputs: Any) -> dict[str, Any]:
    """What a node returns, by the names that users see."""
    made = node(name).execute(**inputs)
    names = [output.display_name for output in node(name).GET_SCHEMA().outputs]
    return dict(zip(names, made.args, strict=True))


def layout_of(**inputs: Any) -> Layout:
    (layout,) = outputs("OcclusionFormerLayout", **{**DEFAULTS, **inputs})["layout"]
    return layout


def relations(layout: Layout) -> set[tuple[str, str]]:
    ids = [instance.id for instance in layout.instances]
    return {(ids[front], ids[behind]) for front, behind in layout.zorder.edges}


def test_schemas_are_valid_and_every_node_is_known_with_its_help():
    for name in NAMES:
        schema = node(name).GET_SCHEMA()
        schema.validate()
        assert schema.category == "OcclusionFormer"
        assert schema.description
        info = node(name).GET_NODE_INFO_V1()
        assert info["display_name"] == nodes.NODE_DISPLAY_NAME_MAPPINGS[name]
        assert json.dumps(info)
        help_page = PACK / PACK_MODULE.WEB_DIRECTORY / "docs" / name / "en.md"
        assert help_page.is_file()
    origin = "custom_nodes.comfyui"
    known = nodes.NODE_CLASS_MAPPINGS.items()
    assert {name for name, each in known if getattr(each, "RELATIVE_PYTHON_MODULE", "") == origin} == set(NAMES)
    assert Path(nodes.EXTENSION_WEB_DIRS["comfyui"]) == PACK / "web"


def test_a_link_from_custom_nodes_to_a_clone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "EXTENSION_WEB_DIRS"):
        monkeypatch.setattr(nodes, name, dict(getattr(nodes, name)))
    link = tmp_path / "custom_nodes" / "occlusionformer"
    link.parent.mkdir()
    link.symlink_to(PACK, target_is_directory=True)
    assert asyncio.run(nodes.load_custom_node(str(link), module_parent="custom_nodes"))
    assert {node(name).RELATIVE_PYTHON_MODULE for name in NAMES} == {"custom_nodes.occlusionformer"}
    assert Path(nodes.EXTENSION_WEB_DIRS["occlusionformer"]).resolve() == PACK / "web"


def test_the_registrys_configuration_is_read_by_comfyui():
    found = extract_node_configuration(str(PACK))
    assert (found.project.name, found.tool_comfy.display_name) == ("occlusionformer-nodes", "OcclusionFormer")
    assert found.project.supported_comfyui_version == ">=0.3.75"


def test_a_list_of_boxes_is_in_front_at_the_end_that_is_said():
    back_to_front = {("2", "1"), ("3", "1"), ("3", "2")}
    assert relations(layout_of(boxes=BOXES)) == back_to_front
    assert relations(layout_of(boxes=BOXES, order="list, the last is in front")) == back_to_front
    turned = {(behind, front) for front, behind in back_to_front}
    assert relations(layout_of(boxes=BOXES, order="list, the first is in front")) == turned
    assert layout_of(boxes=BOXES, order="no order").zorder is None
    document = write_layout(layout_of(boxes=BOXES))
    own = {"document": document, "prompt": "", "width": 0, "height": 0}
    assert layout_of(**own) == layout_of(boxes=BOXES)
    assert relations(layout_of(**own, order="list, the first is in front")) == turned
    assert layout_of(document=json.dumps(BOXES), format="comfy") == layout_of(boxes=BOXES)


def test_relations_and_distances_are_read_line_by_line():
    pairs = layout_of(boxes=BOXES, order="relations: cat > dog", relations="a vase > 1 > 2\n\n3 > 1")
    assert relations(pairs) == {("3", "1"), ("1", "2")}
    depths = layout_of(boxes=BOXES, order="relations: cat: 1.5", relations="1: 2\n a dog : 1.5\n3:2e0")
    assert relations(depths) == {("2", "1"), ("2", "3")}
    with pytest.raises(LayoutError, match=r"z-order loops"):
        layout_of(boxes=BOXES, order="relations: cat > dog", relations="1 > 2 > 1")
    kept = {"order": "relations: cat > dog", "relations": "1 > 2 > 1"}
    assert relations(layout_of(boxes=BOXES, **kept, cycles="allow")) == {("1", "2"), ("2", "1")}
    broken = outputs("OcclusionFormerLayout", **{**DEFAULTS, **kept, "boxes": BOXES, "cycles": "break"})
    assert "taken out of a loop: 2 > 1" in broken["report"]


ELEMENTS = [
    {"type": "obj", "bbox": [0, 100, 500, 600], "desc": "a cat"},
    {"type": "obj", "bbox": [200, 300, 900, 950], "desc": "a dog"},
]
LAYERS = {
    "version": 1, "canvas": [640, 480],
    "layers": [
        {"x": 0, "y": 0, "w": 300, "h": 300, "z_index": 5, "name": "a cat"},
        {"x": 100, "y": 100, "w": 400, "h": 300, "z_index": 2, "name": "a dog", "opacity": 0.5},
    ],
}  # fmt: skip


def test_elements_and_layers_come_in_too():
    for value in (ELEMENTS, json.dumps(ELEMENTS)):
        layout = layout_of(boxes=value, captions="\na black dog")
        assert [instance.caption for instance in layout.instances] == ["a cat", "a black dog"]
        assert layout.instances[0].box == Box(0.1, 0.0, 0.6, 0.5)
        assert relations(layout) == {("2", "1")}
    layers = outputs("OcclusionFormerLayout", **{**DEFAULTS, "width": 0, "height": 0, "boxes": LAYERS})
    assert (layers["width"], layers["height"]) == (640, 480)
    assert relations(layers["layout"][0]) == {("1", "2")}
    assert layers["prompt"] == "a room, a cat, a dog"
    assert layers["report"] == "front to back: 1 > 2\n1 is in front of 2"
    assert layers["drawn"].shape[0] == 1
    frames = outputs("OcclusionFormerLayout", **{**DEFAULTS, "boxes": [BOXES, BOXES[:2]]})
    assert [len(layout.instances) for layout in frames["layout"]] == [3, 2]
    assert frames["drawn"].shape[0] == 2


def test_documents_of_every_format_are_read():
    """What a format never holds is said beside it; what our own holds may be said otherwise."""
    layout = scene("cat", third=True)
    given = {"prompt": "a garden", "width": 96, "height": 64}
    nothing = {"prompt": "", "width": 0, "height": 0}
    for name, form in FORMATS.items():
        document = write_layout(layout, name, lossy=True)
        beside = {field: given[field] if field in form.needs else nothing[field] for field in given}
        read = layout_of(document=document, format=name, **beside)
        assert len(read.instances) == 3, name
        turned = layout_of(document=document, format=name, **beside, order="list, the first is in front")
        ids = [instance.id for instance in turned.instances]
        wanted = {(first, other) for place, first in enumerate(ids) for other in ids[place + 1 :]}
        assert relations(turned) == wanted, name
    own = layout_of(document=write_layout(layout), prompt="a beach", width=192, height=128)
    assert (own.prompt, own.width, own.height, own.instances) == ("a beach", 192, 128, layout.instances)


@for_each(
    "inputs, message",
    [
        ({}, "expected boxes or a document, got neither"),
        ({"boxes": BOXES, "document": "{}"}, "expected boxes or a document, got both"),
        ({"boxes": BOXES, "width": 0}, "width: expected a value, got nothing"),
        ({"boxes": BOXES, "prompt": ""}, "prompt: expected a value, got nothing"),
        ({"boxes": BOXES, "captions": "a\nb"}, "captions: expected 3, one for each box, got 2"),
        ({"boxes": [{**BOXES[0], "width": -1}]}, "[0]"),
        (
            {"boxes": BOXES, "relations": "1 > 2"},
            "relations: expected none with the order 'as the boxes or the document say', got '1 > 2'",
        ),
        ({"boxes": BOXES, "order": "relations: cat > dog"}, "relations: expected some lines, got ''"),
        (
            {"boxes": BOXES, "order": "relations: cat > dog", "relations": "1\n1 > cup > 3"},
            "relations: line 1: expected names with > between them, got '1'\n"
            "relations: line 2: no instance 'cup'; expected 1, 2 or 3",
        ),
        (
            {"boxes": BOXES, "order": "relations: cat: 1.5", "relations": "1: near\n2"},
            "relations: line 1: expected a name, a colon and a number, got '1: near'\n"
            "relations: line 2: expected a name, a colon and a number, got '2'",
        ),
        (
            {"boxes": BOXES, "order": "relations: cat: 1.5", "relations": "1: 2\n1: 3"},
            "relations: expected one line for '1', got several",
        ),
        ({"document": "{", "width": 0}, "JSON"),
        ({"document": "{}", "format": "nonsense"}, "format: expected native"),
        ({"boxes": BOXES, "order": "sideways"}, "order: expected as the boxes or the document say, "),
        ({"boxes": BOXES, "cycles": "maybe"}, "cycles: expected as the document says, error, allow or break, got "),
        ({"document": write_layout(scene()), "captions": "one"}, "captions: expected 2 lines, one for each instance,"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_layout_is_told_with_its_field(inputs: dict[str, Any], message: str):
    with pytest.raises(LayoutError) as told:
        layout_of(**inputs)
    assert message in str(told.value)


def test_an_order_sheet_is_a_batch_from_the_same_noise():
    layout = scene("cat", third=True)
    sheet = outputs("OcclusionFormerOrderSheet", layout=(layout,), orders="dog > vase > cat\n\ncat > dog", most=6)
    assert sheet["count"] == 2
    assert sheet["titles"] == ["dog > vase > cat", "cat > dog"]
    assert [relations(each) for each in sheet["layouts"]] == [
        {("dog", "vase"), ("dog", "cat"), ("vase", "cat")}, {("cat", "dog")}
    ]  # fmt: skip
    latents = sheet["latents"]
    assert latents["samples"].shape == (2, 16, 8, 12)
    first, second = nodes.common_ksampler(
        comfy_model(transformer()), 7, 1, 1.0, "euler", "simple", *[conditioning()] * 2, latents
    )[0]["samples"]
    assert greatest(first - second) < 1e-5
    worth_seeing = outputs("OcclusionFormerOrderSheet", layout=(layout,), orders="", most=4)
    assert worth_seeing["count"] == 4
    assert worth_seeing["layouts"][0] == layout
    assert worth_seeing["titles"][0] == "declared order: vase > cat > dog"
    with pytest.raises(LayoutError, match="orders: line 2: no instance 'cup'; expected cat, dog or vase"):
        outputs("OcclusionFormerOrderSheet", layout=(layout,), orders="cat > dog\ncup > dog", most=4)
    with pytest.raises(ValueError, match="layout: expected one, got 2"):
        outputs("OcclusionFormerOrderSheet", layout=(layout, layout), orders="", most=4)


def conditioning() -> Any:
    from tests.comfy.drawing import conditioning as encoded

    return encoded("a garden")


def test_maps_paint_the_front_over_the_back():
    layout = scene("cat", third=True)
    half = RunLength(size=(64, 96), counts=[0, 64 * 40, 64 * 56])
    dog = layout.instances[1].model_copy(update={"region": half})
    layout = layout.model_copy(update={"instances": (layout.instances[0], dog, layout.instances[2])})
    maps = outputs("OcclusionFormerLayoutMaps", layout=(layout, layout))
    depth, colours = maps["depth"], maps["colours"]
    assert depth.shape == colours.shape == (2, 64, 96, 3)
    assert torch.equal(depth[..., 0], depth[..., 2])
    values = depth[0, ..., 0]
    assert values[40, 40] == 1.0  # the vase, in front of both
    assert values[10, 10] == pytest.approx(2 / 3)
    assert values[60, 35] == pytest.approx(1 / 3)
    assert values[60, 80] == 0.0  # in the dog's box, outside its region
    assert values[0, 95] == 0.0
    assert len({tuple(colour.tolist()) for colour in colours[0].flatten(0, 1)}) == 4
    assert maps["LAYERS"]["canvas"] == [96, 64]
    assert [layer["name"] for layer in maps["LAYERS"]["layers"]] == ["a blue dog", "a red cat (asleep)", "a vase"]
    assert [layer["z_index"] for layer in maps["LAYERS"]["layers"]] == [0, 1, 2]
    again = layout_of(boxes=maps["BOUNDING_BOX"], width=96, height=64)
    assert relations(again) == relations(layout)
    assert layout_of(document=maps["document"], prompt="", width=0, height=0) == layout


@pytest.fixture(scope="module")
def with_masks() -> Pair:
    stock = transformer()
    return Pair.of(stock, branch(paper(shape_of(stock))))


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_masks_are_those_of_the_pipeline(with_masks: Pair, ratio: float, cfg: float):
    picture = Picture.of(scene("cat"), scene("dog", third=True), grounding_ratio=ratio, cfg=cfg)
    ours = by_package(with_masks, picture, output_instance_masks=True).instance_masks
    model = patched(with_masks, picture, want_masks=True)
    samples = sampled(model, picture)
    found = outputs("OcclusionFormerInstanceMasks", model=model, samples={"samples": samples}, threshold=0.0)
    assert found["names"] == ["cat", "dog", "cat", "dog", "vase"]
    wanted = torch.cat([torch.from_numpy(each) for each in ours])
    assert found["masks"].shape == wanted.shape == (5, 64, 96)
    assert greatest(found["masks"] - wanted) <= 1e-4
    hard = outputs("OcclusionFormerInstanceMasks", model=model, samples={"samples": samples}, threshold=0.5)["masks"]
    assert set(hard.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(hard, (found["masks"] >= 0.5).float())


def test_masks_are_of_the_last_step_with_the_layout_whatever_the_sampler_adds(with_masks: Pair):
    """Samplers with churn evaluate above a step's own noise level, others between steps."""
    for ratio in (0.25, 0.5, 1.0):
        picture = Picture.of(scene("cat"), grounding_ratio=ratio)
        for sampler in ("heun", "dpm_2", "euler_ancestral", "dpmpp_2s_ancestral", "lcm"):
            model = patched(with_masks, picture, want_masks=True)
            torch.manual_seed(0)
            samples = sampled(model, picture, sampler=sampler)
            found = outputs("OcclusionFormerInstanceMasks", model=model, samples={"samples": samples}, threshold=0.0)
            assert found["names"] == ["cat", "dog"], sampler


def test_masks_belong_to_the_latents_that_were_sampled(with_masks: Pair):
    first, second = Picture.of(scene("cat")), Picture.of(scene("cat"), strength=1.0)
    second = Picture(layouts=second.layouts, latents=second.latents.flip(-1))
    model = patched(with_masks, first, want_masks=True)
    one, two = sampled(model, first), sampled(model, second)
    read = [
        outputs("OcclusionFormerInstanceMasks", model=model, samples={"samples": samples}, threshold=0.0)["masks"]
        for samples in (one, two, one)
    ]
    assert torch.equal(read[0], read[2])
    assert greatest(read[0] - read[1]) > 1e-3
    with pytest.raises(ValueError, match="samples: expected what a sampler made of this model"):
        outputs("OcclusionFormerInstanceMasks", model=model, samples={"samples": one + 1}, threshold=0.0)
    with pytest.raises(ValueError, match="model: expected one from Apply OcclusionFormer with masks on"):
        outputs("OcclusionFormerInstanceMasks", model=with_masks.model, samples={"samples": one}, threshold=0.0)
    without = patched(with_masks, first)
    assert greatest(sampled(without, first) - one) == 0, "asking for masks changes the picture"


def test_a_run_without_the_layout_has_no_masks(with_masks: Pair):
    layout = scene("cat").model_copy(update={"instances": (), "order": None})
    picture = Picture.of(layout)
    model = patched(with_masks, picture, want_masks=True)
    samples = sampled(model, picture)
    with pytest.raises(ValueError, match="samples: expected a run in which the layout acted"):
        outputs("OcclusionFormerInstanceMasks", model=model, samples={"samples": samples}, threshold=0.0)


@for_each(
    "settings, message",
    [
        ({"strength": -1.0}, "strength: expected a finite number of at least 0, got -1.0"),
        ({"strength": float("nan")}, "strength: expected a finite number of at least 0, got nan"),
        ({"grounding_ratio": 1.5}, "grounding_ratio: expected a number from 0 to 1, got 1.5"),
        ({"layouts": []}, "layout: expected at least one, got none"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str):
    stock = transformer()
    pair = Pair.of(stock, branch(paper(shape_of(stock))))
    picture = Picture.of(scene("cat"))
    with pytest.raises(ValueError, match=message):
        patched(pair, Picture(**{**vars(picture), **settings}))


def test_models_that_a_branch_does_not_fit_are_refused():
    stock = transformer()
    picture = Picture.of(scene("cat"))
    small = Pair.of(stock, branch(paper(shape_of(transformer(num_layers=4, num_single_layers=10)))))
    with pytest.raises(ValueError, match=r"branch: expected dual_blocks below 2, got \(0, 3\)"):
        patched(small, picture)
    pair = Pair.of(stock, branch(instance_assemble(shape_of(stock))))
    with pytest.raises(ValueError, match="masks: expected a branch with a mask head, got tiny without"):
        patched(pair, picture, want_masks=True)
    other = comfy_model(stock)
    other.model.diffusion_model = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"model: expected FLUX.1 as ComfyUI loads it, got Linear without double_bl"):
        patched(pair, picture, other)


def saved(folder: Path, method: OcclusionBranch) -> None:
    """As the authors published it: two files."""
    folder.mkdir(parents=True)
    state = published_state(method)
    save_file({name: value.contiguous() for name, value in state.layout.items()}, folder / "layout.safetensors")
    save_file({name: value.contiguous() for name, value in state.lora.items()}, folder / "lora.safetensors")


def test_branches_are_found_and_loaded_whatever_their_kind(tmp_path: Path):
    stock = transformer()
    shape = shape_of(stock)
    load = pack("branch_patcher").load_branch
    released = branch(published(shape))
    saved(tmp_path / "released", released)
    parent = branch(instance_assemble(shape))
    saved(tmp_path / "parent", parent)
    state = published_state(released)
    bundle = {f"layout::{name}": value.contiguous() for name, value in state.layout.items()}
    bundle |= {f"lora::{name}": value.contiguous() for name, value in state.lora.items()}
    save_file(bundle, tmp_path / "one.safetensors")
    trained = OcclusionFormer(branch=paper(shape).to_json())
    trained.save_pretrained(tmp_path / "run" / "branch")
    branch(paper(shape)).save_pretrained(tmp_path / "saved")
    files = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    names = pack("branch_patcher").branch_names(files)
    assert names == ["parent/", "released/", "run/branch/", "saved/", "one.safetensors"]
    find = pack("branch_patcher").find_branch
    kinds = {name: type(load(find(name, ["/nowhere", str(tmp_path)]), shape)) for name in [*names, "run"]}
    assert kinds == {
        "released/": OcclusionFormer, "parent/": InstanceAssemble, "one.safetensors": OcclusionFormer,
        "run": OcclusionFormer, "run/branch/": OcclusionFormer, "saved/": OcclusionBranch,
    }  # fmt: skip
    again = load(tmp_path / "released", shape).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in released.state_dict().items())


def test_the_model_says_the_sizes_that_released_weights_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stock = transformer()
    saved(tmp_path / "released", branch(published(shape_of(stock))))
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "model_patches", ([str(tmp_path)], {".safetensors"}))
    options = node("OcclusionFormerLoadBranch").GET_SCHEMA().inputs[0].options
    assert options == ["released/"]
    loaded = outputs("OcclusionFormerLoadBranch", name="released/", model=comfy_model(stock))["branch"]
    assert loaded.method.shape == published(shape_of(stock))
    with pytest.raises(CheckpointError, match="expected"):
        outputs("OcclusionFormerLoadBranch", name="released/")  # not of FLUX.1-dev's size


def test_without_the_package_the_pack_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PACK_MODULE, "find_spec", lambda name: None)
    extension = asyncio.run(PACK_MODULE.comfy_entrypoint())
    with pytest.raises(ImportError, match="occlusionformer is not installed in ComfyUI's environment"):
        asyncio.run(extension.get_node_list())


def test_folders_that_are_no_branch_are_refused(tmp_path: Path):
    load, find = pack("branch_patcher").load_branch, pack("branch_patcher").find_branch
    NoLayout().save_pretrained(tmp_path / "none")
    with pytest.raises(CheckpointError, match="_class_name: expected OcclusionBranch, OcclusionFormer or Inst"):
        load(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"needs one of occ\.pth"):
        load(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"branch: expected 'other/' in .*, got no such file or folder"):
        find("other/", [str(tmp_path)])
    for name in ("../none", "/etc"):
        with pytest.raises(ValueError, match="branch: expected a name below models/model_patches"):
            find(name, [str(tmp_path)])
    save_file({"x": torch.zeros(1)}, tmp_path / "stranger.safetensors")
    with pytest.raises(CheckpointError):
        load(tmp_path / "stranger.safetensors")
