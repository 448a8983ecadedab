"""Grounding DINO: boxes of objects named by text (arXiv 2303.05499); published code detects with it for LGS.

Arrays: Q queries of the detector, T tokens of the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, GroundingDinoForObjectDetection

from occlusionformer.evaluation.benchmark import QuestionKind
from occlusionformer.evaluation.judgement import Identity, Json, JudgeAnswer, JudgementError, JudgeRequest
from occlusionformer.evaluation.judges.weights import best_device, revision, short_name
from occlusionformer.pictures import as_rgb

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PUBLISHED_MODEL = "IDEA-Research/grounding-dino-tiny"
"""Swin-T, the weights that arXiv 2509.16691 detects with."""
BOX_THRESHOLD = 0.35
"""The least score of a box that counts; published code also has a text threshold, which decides on words alone."""
SHORTER_SIDE, LONGER_SIDE = 800, 1333
"""Pixels that pictures are resized to: the shorter side, unless the longer one would be above its limit."""
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


class GroundingDinoJudge:
    """Asks the detector for one category at a time, as published code does."""

    kinds: frozenset[QuestionKind] = frozenset({"detect"})
    needs: frozenset[QuestionKind] = frozenset()
    parallel = 1

    def __init__(
        self, model: GroundingDinoForObjectDetection, tokenizer: PreTrainedTokenizerBase, identity: Identity
    ) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self.identity = identity

    @torch.inference_mode()
    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        """Boxes of every category in pixels of the picture, in the order of the detector's queries."""
        pixels_1CHW = _pixels(picture).to(self._model.device, self._model.dtype)
        categories = sorted({each.category or each.caption or each.name for each in request.instances})
        found: dict[str, Json] = {name: self._boxes(pixels_1CHW, name, picture.size) for name in categories}
        return JudgeAnswer(answer=found)

    def _boxes(self, pixels_1CHW: Tensor, category: str, size: tuple[int, int]) -> list[list[float]]:
        asked = self._tokenizer(prompt(category), return_tensors="pt", truncation=True, max_length=self._longest)
        device = self._model.device
        output = self._model(
            pixel_values=pixels_1CHW,
            input_ids=asked["input_ids"].to(device),
            attention_mask=asked["attention_mask"].to(device),
        )
        scores_Q = output.logits[0].float().sigmoid().amax(-1)
        boxes_Q4 = output.pred_boxes[0].float()
        if not (scores_Q.isfinite().all() and boxes_Q4.isfinite().all()):
            raise JudgementError("error", "the model returned numbers that are not finite")
        centre_x, centre_y, width, height = boxes_Q4[scores_Q > BOX_THRESHOLD].cpu().unbind(-1)
        across, down = size
        corners = [
            (centre_x - width / 2) * across,
            (centre_y - height / 2) * down,
            (centre_x + width / 2) * across,
            (centre_y + height / 2) * down,
        ]
        found: list[list[float]] = torch.stack(corners, -1).tolist()
        return found

    @property
    def _longest(self) -> int:
        return int(self._model.config.max_text_len)


def prompt(category: str) -> str:
    """The text for a category: lower case, ending in a full stop."""
    text = category.lower().strip()
    return text if text.endswith(".") else text + "."


def resized_size(width: int, height: int) -> tuple[int, int]:
    """Width and height with the shorter side at SHORTER_SIDE, less where the longer one would exceed LONGER_SIDE."""
    shorter, longer = min(width, height), max(width, height)
    side = SHORTER_SIDE
    if longer / shorter * side > LONGER_SIDE:
        side = round(LONGER_SIDE * shorter / longer)
    other = int(side * longer / shorter)
    return (side, other) if width < height else (other, side)


def _pixels(picture: Image.Image) -> Tensor:
    """(1, 3, H, W): resized bilinearly and normalised, as the model was trained."""
    resized = as_rgb(picture).resize(resized_size(*picture.size), Image.Resampling.BILINEAR)
    values_CHW = torch.from_numpy(np.array(resized, np.float32) / 255).permute(2, 0, 1)
    mean, deviation = (torch.tensor(numbers)[:, None, None] for numbers in (MEAN, DEVIATION))
    return ((values_CHW - mean) / deviation)[None]


def load_grounding_dino(argument: str | None) -> GroundingDinoJudge:
    """A model folder, or a name on the hub; the published detector without an argument."""
    path = PUBLISHED_MODEL if argument is None else argument
    device = best_device()
    model = GroundingDinoForObjectDetection.from_pretrained(path).to(device)
    identity: Identity = {
        "name": "grounding-dino",
        "model": short_name(path),
        "revision": revision(path, model.config),
        "settings": {
            "box_threshold": BOX_THRESHOLD,
            "categories": "one at a time",
            "side": [SHORTER_SIDE, LONGER_SIDE],
            "device": device.type,
        },
    }
    return GroundingDinoJudge(model, AutoTokenizer.from_pretrained(path), identity)
