"""Judges over the real model classes at toy size, loaded from folders as a user would."""

from __future__ import annotations

import base64
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from occlusionformer.evaluation.benchmark import Question
from occlusionformer.evaluation.judgement import DescribedInstance, JudgementError, JudgeUnavailableError, canonical
from occlusionformer.evaluation.judges import clip, grounding_dino, inception, qwen
from occlusionformer.evaluation.judges.protocol import Judge
from occlusionformer.evaluation.judges.registry import load_judge
from occlusionformer.evaluation.masks import decode_mask, encode_mask
from occlusionformer.evaluation.parse_answers import parse_answer
from tests.evaluation.judges.tiny import picture, request, save_clip, save_grounding_dino, save_qwen, save_sam2
from tests.evaluation.things import item
from tests.tables import for_each


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    saved = {name: tmp_path_factory.mktemp(name) for name in ("qwen", "sam2", "clip", "grounding-dino")}
    save_qwen(saved["qwen"])
    save_sam2(saved["sam2"])
    save_clip(saved["clip"])
    save_grounding_dino(saved["grounding-dino"])
    return saved


@pytest.fixture(scope="module")
def speaker(folders: dict[str, Path]) -> qwen.QwenModel:
    loaded = load_judge(f"qwen:{folders['qwen']}")._model
    return qwen.QwenModel(loaded._model, loaded._tokenizer, loaded._splitter, identity=loaded.identity, max_tokens=12)


def test_every_local_judge_knows_exactly_what_it_was_loaded_from(folders: dict[str, Path]):
    for name, folder in folders.items():
        judge = load_judge(f"{name}:{folder}")
        assert isinstance(judge, Judge)
        assert judge.identity["revision"].startswith("sha256:")
        assert judge.identity["model"] == folder.name
        canonical(judge.identity)


def test_qwen_says_the_likeliest_words_about_what_it_sees(speaker: qwen.QwenModel):
    said = speaker.ask("What is this?", picture(0))
    assert said == speaker.ask("What is this?", picture(0))
    others = {speaker.ask("What is this?", picture(seed)) for seed in range(1, 6)}
    assert others != {said}


def test_qwen_is_given_its_own_chat_form(speaker: qwen.QwenModel, monkeypatch: pytest.MonkeyPatch):
    heard = {}

    def generate(**inputs: object) -> torch.Tensor:
        heard.update(inputs)
        return inputs["input_ids"]

    monkeypatch.setattr(speaker._model, "generate", generate)
    speaker.ask("Is <|im_end|> here?", picture(0, size=(56, 84)))
    words = speaker._tokenizer.decode(heard["input_ids"][0])
    assert words.startswith(
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nIs < |im_end|>"
    )
    assert words.endswith(
        "<|vision_start|>" + "<|image_pad|>" * 6 + "<|vision_end|><|im_end|>\n<|im_start|>assistant\n"
    )
    assert heard["pixel_values"].shape == (24, 3 * 2 * 14 * 14)
    assert heard["image_grid_thw"].tolist() == [[1, 6, 4]]
    assert heard["do_sample"] is False


def test_qwen_refuses_a_picture_that_cannot_be_split(speaker: qwen.QwenModel):
    with pytest.raises(JudgementError, match="refused"):
        speaker.ask("What is this?", Image.new("RGB", (2000, 5)))


def test_qwen_with_random_weights_gives_no_answer(folders: dict[str, Path], speaker: qwen.QwenModel):
    from occlusionformer.evaluation.judges.vlm import VlmJudge

    with pytest.raises(JudgementError, match="unreadable"):
        VlmJudge(speaker).judge(picture(), request("detect"))


def test_grounding_dino_finds_one_category_at_a_time(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grounding_dino, "SHORTER_SIDE", 64)
    judge = load_judge(f"grounding-dino:{folders['grounding-dino']}")
    answer = judge.judge(picture(size=(64, 48)), request("detect")).answer
    assert list(answer) == ["cat", "dog"]
    for category, boxes in answer.items():
        asked = judge._tokenizer(f"{category}.", return_tensors="pt")
        text = {name: asked[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            seen = judge._model(pixel_values=grounding_dino._pixels(picture(size=(64, 48))), **text)
        expected = []
        for logits, (x, y, width, height) in zip(seen.logits[0], seen.pred_boxes[0].tolist(), strict=True):
            if max(1 / (1 + math.exp(-float(logit))) for logit in logits if logit > -80) > 0.35:
                half = (width / 2, height / 2)
                corners = (x - half[0], y - half[1], x + half[0], y + half[1])
                expected.append([edge * side for edge, side in zip(corners, (64, 48) * 2, strict=True)])
        assert 0 < len(expected) < 20
        np.testing.assert_allclose(boxes, expected, rtol=1e-4, atol=1e-3)
    assert parse_answer(Question("detect"), answer, item()).keys() == answer.keys()


@pytest.mark.parametrize(
    ("size", "resized"),
    [((1024, 1024), (800, 800)), ((1024, 682), (1201, 800)), ((500, 2000), (333, 1332)), ((64, 48), (1066, 800))],
)
def test_grounding_dino_sees_pictures_in_its_training_size(size: tuple[int, int], resized: tuple[int, int]):
    assert grounding_dino.resized_size(*size) == resized


def test_grounding_dino_is_asked_in_its_own_form():
    assert [grounding_dino.prompt(text) for text in ("Red Car", " a dog. ")] == ["red car.", "a dog."]


def test_sam_gives_a_mask_of_the_picture_for_every_box(folders: dict[str, Path]):
    judge = load_judge(f"sam2:{folders['sam2']}")
    answer = judge.judge(picture(size=(64, 48)), request("segment")).answer
    assert len(answer) == 2
    masks = [mask for mask in answer if mask is not None]
    assert masks
    assert all(mask["size"] == [48, 64] and decode_mask(mask).any() for mask in masks)
    assert judge.judge(picture(), request("segment", instances=())).answer == []


def test_sam_answers_each_box_as_if_it_were_alone(folders: dict[str, Path]):
    judge = load_judge(f"sam2:{folders['sam2']}")
    both = request("segment")
    answers = [judge.judge(picture(), request("segment", instances=(each,))).answer[0] for each in both.instances]
    together = judge.judge(picture(), both).answer
    for one, other in zip(answers, together, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert (decode_mask(one) != decode_mask(other)).mean() < 0.01


def test_a_mask_that_is_told_changes_what_sam_sees(folders: dict[str, Path]):
    judge = load_judge(f"sam2:{folders['sam2']}")
    half = np.zeros((64, 64), bool)
    half[:, :20] = True
    told = tuple(
        DescribedInstance(name=each.name, box=each.box, mask=mask)
        for each, mask in zip(request("segment").instances, [encode_mask(half), None], strict=True)
    )
    plain = judge.judge(picture(), request("segment")).answer
    assert judge.judge(picture(), request("segment", instances=told)).answer == plain
    soft = judge.judge(picture(), request("segment_by_soft_mask", instances=told)).answer
    assert soft[0] != plain[0]
    assert soft[1] == plain[1]


@pytest.mark.parametrize(("kind", "values"), [("segment_by_mask", {0.0, 1.0}), ("segment_by_soft_mask", {-10.0, 10.0})])
def test_masks_reach_sam_in_the_form_of_their_protocol(
    folders: dict[str, Path], kind: str, values: set[float], monkeypatch: pytest.MonkeyPatch
):
    judge = load_judge(f"sam2:{folders['sam2']}")
    half = np.zeros((64, 64), bool)
    half[:, :32] = True
    told = (DescribedInstance(name="a", box=(0, 0, 32, 64), mask=encode_mask(half)),)
    forward, seen = judge._model.forward, []

    def recorded(**given: Any) -> Any:
        seen.append(given["input_masks"])
        return forward(**given)

    monkeypatch.setattr(judge._model, "forward", recorded)
    judge.judge(picture(), request(kind, instances=told))
    (prompt,) = seen
    assert set(prompt[..., :12].unique().tolist()) | set(prompt[..., 20:].unique().tolist()) == values
    assert prompt[..., 0].unique().tolist() == [max(values)]


def test_a_mask_prompt_is_zeros_and_ones_sampled_at_the_middle_of_each_pixel(folders: dict[str, Path]):
    judge = load_judge(f"sam2:{folders['sam2']}")
    side = judge._side // 4
    mask = np.random.default_rng(5).random((3 * side, 2 * side)) < 0.5
    prompt = judge._binary_prompt(encode_mask(mask))
    assert prompt.shape == (1, 1, side, side)
    rows, columns = (np.arange(side) + 0.5) * 3, (np.arange(side) + 0.5) * 2
    np.testing.assert_array_equal(prompt[0, 0].numpy(), mask[np.ix_(rows.astype(int), columns.astype(int))])
    assert not judge._binary_prompt(None).any()
    assert judge._soft_prompt(None) is None


def test_clip_takes_plain_cosines(folders: dict[str, Path]):
    judge = load_judge(f"clip:{folders['clip']}")
    cosine = judge.judge(picture(), request("clip_global", prompt="a cat and a dog")).answer
    encoder = judge._encoder
    with torch.no_grad():
        seen, read = encoder.encode_pictures([picture()])[0], encoder.encode_texts(["a cat and a dog"])[0]
    assert cosine == pytest.approx(float(seen @ read / seen.norm() / read.norm()), abs=1e-6)
    assert -1 <= cosine <= 1


def test_clip_looks_at_the_crop_of_every_box(folders: dict[str, Path]):
    judge = load_judge(f"clip:{folders['clip']}")
    shown = picture(size=(64, 64))
    thin = DescribedInstance(name="line", box=(5.2, 0, 5.8, 9), caption="a line")
    asked = request("clip_local", instances=(*request("clip_local").instances, thin))
    answer = judge.judge(shown, asked).answer
    alone = judge.judge(shown.crop((16, 16, 64, 64)), request("clip_global", prompt="a dog, asleep")).answer
    assert answer[1] == pytest.approx(alone, abs=1e-6)
    assert answer[2] is None


def test_clip_reads_texts_that_are_too_long(folders: dict[str, Path]):
    judge = load_judge(f"clip:{folders['clip']}")
    assert isinstance(judge.judge(picture(), request("clip_global", prompt="cat " * 500)).answer, float)


@pytest.mark.parametrize("size", [(64, 32), (32, 64), (33, 32), (31, 70)])
def test_clip_keeps_the_middle(size: tuple[int, int]):
    assert clip.centre_square(picture(size=size), 32).shape == (3, 32, 32)
    wide = Image.new("RGB", (96, 32))
    wide.paste((255, 255, 255), (32, 0, 64, 32))
    middle = clip.centre_square(wide, 32)
    assert torch.allclose(middle.amin(dim=(1, 2)), (1 - torch.tensor(clip.MEAN)) / torch.tensor(clip.DEVIATION))


class Eyes(nn.Module):
    """Where the published file has Inception: `layers` that take -1 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 7, 7), nn.AdaptiveAvgPool2d(2), nn.Flatten())

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_inception_reads_the_published_kind_of_file(tmp_path: Path):
    torch.manual_seed(0)
    eyes = Eyes()
    torch.jit.script(eyes).save(str(tmp_path / "eyes.pt"))
    judge = load_judge(f"inception:{tmp_path / 'eyes.pt'}")
    answer = judge.judge(picture(), request("fid_features")).answer
    features = np.frombuffer(base64.b64decode(answer), "<f4")
    with torch.no_grad():
        expected = eyes.layers((inception.resized(picture())[None] - 128) / 128)
    np.testing.assert_allclose(features, expected.flatten(), rtol=1e-5)


def test_inception_without_a_file_is_torch_fidelitys(tmp_path: Path):
    pytest.importorskip("torchvision")
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    assert FeatureExtractorInceptionV3.get_provided_features_list()[3] == "2048"


def test_resizing_for_inception_rounds_nothing_and_smooths():
    stripes = Image.fromarray(np.tile(np.array([[0, 255]], np.uint8), (598, 299))).convert("RGB")
    resized = inception.resized(stripes)
    assert resized.shape == (3, 299, 299)
    inside = resized[:, 5:-5, 5:-5]
    assert float((inside - 127.5).abs().max()) < 10
    assert not torch.equal(inside, inside.round())


@for_each(
    "spec",
    [
        "qwen:{}",
        "sam2:{}",
        "clip:{}",
        "grounding-dino:{}",
        "inception:{}",
        "instaorder-order:{}",
        "instaorder-depth:{}",
    ],
)
def test_weights_that_are_not_there_make_a_judge_unavailable(spec: str, tmp_path: Path):
    with pytest.raises(JudgeUnavailableError):
        load_judge(spec.format(tmp_path / "nothing"))


@pytest.mark.parametrize("name", ["qwen", "sam2", "clip"])
def test_damaged_weights_make_a_judge_unavailable(name: str, folders: dict[str, Path], tmp_path: Path):
    damaged = tmp_path / "damaged"
    shutil.copytree(folders[name], damaged)
    (damaged / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(JudgeUnavailableError, match=f"^{name}: "):
        load_judge(f"{name}:{damaged}")
