"""InstaOrder's networks: the checkpoint's form, what they see, and the two opinions that are averaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from occlusionformer.data.engine.models.protocol import MaskedPicture, Orderer
from occlusionformer.evaluation.judgement import JudgementError, JudgeUnavailableError
from occlusionformer.evaluation.judges.instaorder import DepthJudge, OrderJudge, load_order, load_orderer
from occlusionformer.evaluation.judges.patches import (
    PatchWindow,
    cut,
    mask_input,
    pair_window,
    picture_input,
    square_around,
)
from occlusionformer.evaluation.judges.registry import load_judge
from occlusionformer.evaluation.judges.resnet import ResNet
from occlusionformer.evaluation.masks import encode_mask
from tests.evaluation.judges.tiny import picture, request

IDENTITY = {"name": "toy", "model": "toy", "revision": "0", "settings": {}}


def masks(*boxes: tuple[int, int, int, int] | None, size: tuple[int, int] = (48, 64)) -> list[dict | None]:
    made = []
    for box in boxes:
        mask = np.zeros(size, bool)
        if box is not None:
            mask[box[1] : box[3], box[0] : box[2]] = True
        made.append(encode_mask(mask))
    return made


class Fixed(nn.Module):
    """Gives the first half of a batch one set of logits and the second half another."""

    def __init__(self, forward: list[float], backward: list[float]) -> None:
        super().__init__()
        self.fc = nn.Linear(1, 1)
        self.logits = torch.tensor(forward), torch.tensor(backward)
        self.seen: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.append(inputs)
        half = len(inputs) // 2
        return torch.cat([logits.expand(half, -1) for logits in self.logits])


def test_the_network_has_the_names_and_shapes_of_torchvisions():
    weights = ResNet(5, 2).state_dict()
    assert len(weights) == 320
    assert sum(value.numel() for name, value in weights.items() if "running" not in name and "num_" not in name) == (
        23_508_032 + 2 * 64 * 49 + 2 * 2048 + 2
    )
    for name, shape in {
        "conv1.weight": (64, 5, 7, 7),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.0.downsample.1.running_var": (256,),
        "layer3.5.conv2.weight": (256, 256, 3, 3),
        "layer4.2.bn3.num_batches_tracked": (),
        "fc.weight": (2, 2048),
    }.items():
        assert tuple(weights[name].shape) == shape
    assert "layer4.1.downsample.0.weight" not in weights


def test_the_network_computes_what_transformers_resnet_computes():
    """transformers has the same network under other names."""
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    other = ResNetForImageClassification(
        ResNetConfig(
            num_channels=5, embedding_size=8, hidden_sizes=[32, 64, 128, 256], depths=[1, 2, 1, 1], num_labels=2
        )
    ).eval()
    for buffer in other.buffers():
        if buffer.dtype.is_floating_point:
            buffer.uniform_(0.5, 1.5)
    ours = ResNet(5, 2, depths=(1, 2, 1, 1), width=8).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), _in_our_order(other), strict=True)))
    inputs = torch.randn(2, 5, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(inputs), other(inputs).logits)


def _in_our_order(other: nn.Module) -> list[Tensor]:
    """transformers lists a block's shortcut before its layers, torchvision after them."""
    weights = other.state_dict()
    names = list(weights)
    stem = [name for name in names if "embedder" in name]
    rest: list[str] = []
    blocks: dict[str, list[str]] = {}
    for name in names:
        if "encoder" in name:
            blocks.setdefault(".".join(name.split(".")[:6]), []).append(name)
    for block in blocks.values():
        rest += [name for name in block if "shortcut" not in name] + [name for name in block if "shortcut" in name]
    return [weights[name] for name in [*stem, *rest, *(name for name in names if "classifier" in name)]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As data-parallel training saves it."""
    torch.manual_seed(0)
    network = ResNet(5, 2)
    path = tmp_path_factory.mktemp("instaorder") / "InstaOrderNet_o.pth.tar"
    weights = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"step": 58000, "state_dict": weights, "optimizer": {"state": {}, "param_groups": []}}, path)
    return path


def test_a_checkpoint_is_loaded_and_judges_every_pair(checkpoint: Path):
    judge = load_judge(f"instaorder-order:{checkpoint}")
    given = {"segment": masks((0, 0, 20, 20), None, (10, 10, 60, 40))}
    answer = judge.judge(picture(), request("order", given=given)).answer
    assert np.shape(answer) == (3, 3)
    assert set(np.ravel(answer)) <= {0, 1}
    assert not np.diag(answer).any()
    assert not np.array(answer)[1].any()
    assert not np.array(answer)[:, 1].any()
    assert judge.needs == {"segment"}
    assert judge.identity["revision"].startswith("sha256:")


def test_a_checkpoint_of_another_network_is_refused(checkpoint: Path, tmp_path: Path):
    with pytest.raises(JudgeUnavailableError, match=r"not this network: .*fc\.weight"):
        load_judge(f"instaorder-depth:{checkpoint}")
    with pytest.raises(ValueError, match="expected instaorder-depth:InstaOrderNet_d"):
        load_judge("instaorder-depth")
    torch.save({"state_dict": Path}, tmp_path / "code.pth")
    with pytest.raises(JudgeUnavailableError, match="not a plain tensor file, refused: "):
        load_judge(f"instaorder-order:{tmp_path / 'code.pth'}")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(JudgeUnavailableError, match="expected weights by name"):
        load_judge(f"instaorder-order:{tmp_path / 'list.pth'}")


@pytest.mark.parametrize(
    ("forward", "backward", "expected"),
    [
        ([-4.0, 4.0], [4.0, -4.0], [[0, 1], [0, 0]]),
        ([4.0, -4.0], [-4.0, 4.0], [[0, 0], [1, 0]]),
        ([4.0, 4.0], [4.0, 4.0], [[0, 1], [1, 0]]),
        ([-4.0, -4.0], [-4.0, -4.0], [[0, 0], [0, 0]]),
        ([0.0, 3.0], [-1.0, 0.0], [[0, 1], [0, 0]]),
    ],
    ids=["first in front", "second in front", "mutual", "apart", "averaged"],
)
def test_order_averages_both_directions(forward: list[float], backward: list[float], expected: list[list[int]]):
    judge = OrderJudge(Fixed(forward, backward), IDENTITY, side=16)
    given = {"segment": masks((0, 0, 20, 20), (10, 10, 60, 40))}
    assert judge.judge(picture(), request("order", given=given)).answer == expected


@pytest.mark.parametrize(
    ("forward", "backward", "expected"),
    [
        ([5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [[-1, 1], [0, -1]]),
        ([0.0, 5.0, 0.0], [5.0, 0.0, 0.0], [[-1, 0], [1, -1]]),
        ([0.0, 0.0, 5.0], [0.0, 0.0, 5.0], [[-1, 2], [2, -1]]),
        ([2.0, 0.0, 0.0], [0.0, 0.0, 3.0], [[-1, 2], [2, -1]]),
    ],
)
def test_depth_averages_matching_classes(forward: list[float], backward: list[float], expected: list[list[int]]):
    judge = DepthJudge(Fixed(forward, backward), IDENTITY, side=16)
    given = {"segment": masks((0, 0, 20, 20), (10, 10, 60, 40))}
    assert judge.judge(picture(), request("depth", given=given)).answer == expected


def test_the_second_direction_swaps_the_masks_alone():
    network = Fixed([0.0, 0.0], [0.0, 0.0])
    given = {"segment": masks((0, 0, 20, 20), (10, 10, 60, 40), (5, 5, 9, 9))}
    OrderJudge(network, IDENTITY, side=16).judge(picture(), request("order", given=given))
    seen = network.seen[0]
    assert seen.shape == (6, 5, 16, 16)
    assert torch.equal(seen[:3, 0], seen[3:, 1])
    assert torch.equal(seen[:3, 1], seen[3:, 0])
    assert torch.equal(seen[:3, 2:], seen[3:, 2:])
    assert set(seen[:, :2].unique().tolist()) == {0.0, 1.0}


def test_numbers_that_are_none_and_missing_masks_cost_the_picture():
    given = {"segment": masks((0, 0, 20, 20), (10, 10, 60, 40))}
    judge = OrderJudge(Fixed([float("nan"), 0.0], [0.0, 0.0]), IDENTITY, side=16)
    with pytest.raises(JudgementError, match="numbers that are none"):
        judge.judge(picture(), request("order", given=given))
    with pytest.raises(JudgementError, match="no masks"):
        judge.judge(picture(), request("order", given={"segment": None}))


def test_squares_have_the_stated_sides():
    assert square_around(PatchWindow(10, 10, 20, 20), 3.0) == PatchWindow(2, 2, 34, 34)
    assert square_around(PatchWindow(0, 0, 100, 4), 2.0).width == 110
    pair = pair_window(PatchWindow(0, 0, 20, 20), PatchWindow(40, 0, 20, 20))
    assert pair.width == pair.height == int(1.1 * 73)


def test_what_lies_outside_the_picture_is_zero():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4) + 1
    np.testing.assert_array_equal(cut(image, PatchWindow(-1, 1, 3, 3)), [[0, 5, 6], [0, 9, 10], [0, 0, 0]])
    assert not cut(image, PatchWindow(10, 10, 2, 2)).any()


def test_pictures_are_resized_with_opencvs_cubic_kernel():
    """Between two pixels, halfway: (-a, 1 + a, 1 + a, -a) / 2 with a = 0.75 on the outer ones."""
    row = np.zeros((1, 8, 3), np.uint8)
    row[0, 4] = 200
    resized = picture_input(np.repeat(row, 16, axis=0), 16)
    mean, deviation = 0.485, 0.229
    bytes_ = ((resized[0, 8] * deviation + mean) * 255).round()
    weights = [_cubic(abs((x + 0.5) / 2 - 0.5 - 4)) for x in range(16)]
    assert bytes_.tolist() == [round(max(0.0, 200 * weight)) for weight in weights]


def _cubic(distance: float, a: float = -0.75) -> float:
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    if distance < 2:
        return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a
    return 0.0


def test_masks_are_resized_to_the_nearest_pixel():
    mask = np.zeros((4, 4), bool)
    mask[1, 2] = True
    expected = np.kron(mask, np.ones((2, 2)))
    np.testing.assert_array_equal(mask_input(mask, 8), expected)
    assert mask_input(np.array(Image.new("1", (5, 5), 1)), 3).min() == 1


def test_the_data_engine_asks_the_same_network(checkpoint: Path):
    orderer, judge = load_orderer(str(checkpoint)), load_order(str(checkpoint))
    image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    masks = np.zeros((3, 40, 48), dtype=bool)
    masks[0, 5:20, 5:20] = masks[1, 10:30, 15:40] = masks[2, 25:38, 2:12] = True
    view = MaskedPicture(key="a", ids=("a", "b", "c"), image=image, masks=masks)
    assert isinstance(orderer, Orderer)
    found = orderer.probabilities(view, np.array([[0, 1], [1, 0], [1, 2]]))
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found[0], found[1][::-1], atol=1e-6)
    given = {"segment": [encode_mask(mask) for mask in masks]}
    answer = judge.judge(Image.fromarray(image), request("order", given=given)).answer
    assert [[answer[0][1], answer[1][0]], [answer[1][2], answer[2][1]]] == (found[[0, 2]] > 0.5).astype(int).tolist()
    assert orderer.probabilities(view, np.zeros((0, 2), dtype=int)).shape == (0, 2)
