"""CLIP: the similarity of pictures and texts.

Two libraries load the same weights; they cut text and resize pictures in slightly different ways.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from occlusionformer.evaluation.benchmark import QuestionKind
from occlusionformer.evaluation.judgement import Identity, JudgeAnswer, JudgementError, JudgeRequest
from occlusionformer.evaluation.judges.weights import best_device, revision, short_name
from occlusionformer.pictures import as_rgb

PUBLISHED_MODEL = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
OPEN_CLIP_MODEL, OPEN_CLIP_WEIGHTS = "ViT-B-32", "laion2b_s34b_b79k"
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class ClipEncoder(Protocol):
    """Embeds pictures and texts in one space."""

    identity: Identity

    def encode_pictures(self, pictures: list[Image.Image]) -> Tensor:
        """(pictures, D)."""
        ...

    def encode_texts(self, texts: list[str]) -> Tensor:
        """(texts, D); what is longer than the model reads is cut off."""
        ...


class ClipJudge:
    """Raw cosines, -1 to 1: not scaled, not clamped."""

    kinds: frozenset[QuestionKind] = frozenset({"clip_global", "clip_local"})
    needs: frozenset[QuestionKind] = frozenset()
    parallel = 1

    def __init__(self, encoder: ClipEncoder) -> None:
        self._encoder = encoder
        self.identity = encoder.identity

    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        """The cosine of the picture and the prompt, or of the crop and the caption of each instance."""
        if request.kind == "clip_global":
            return JudgeAnswer(answer=self._cosines([picture], [request.prompt or ""])[0])
        boxes = [(int(x1), int(y1), int(x2), int(y2)) for x1, y1, x2, y2 in request.boxes_in(*picture.size)]
        places = [place for place, (x1, y1, x2, y2) in enumerate(boxes) if x1 < x2 and y1 < y2]
        crops = [picture.crop(boxes[place]) for place in places]
        cosines = self._cosines(crops, [request.instances[place].caption or "" for place in places])
        answer: list[float | None] = [None] * len(boxes)
        for place, cosine in zip(places, cosines, strict=True):
            answer[place] = cosine
        return JudgeAnswer(answer=answer)

    @torch.inference_mode()
    def _cosines(self, pictures: list[Image.Image], texts: list[str]) -> list[float]:
        if not pictures:
            return []
        seen_ND = functional.normalize(self._encoder.encode_pictures(pictures).float(), dim=-1)
        read_ND = functional.normalize(self._encoder.encode_texts(texts).float(), dim=-1)
        cosines_N = (seen_ND * read_ND).sum(-1)
        if not cosines_N.isfinite().all():
            raise JudgementError("error", "the model gave numbers that are none")
        return [float(cosine) for cosine in cosines_N]


class TransformersEncoder:
    """CLIP as transformers has it, with the preprocessing of open_clip: shorter side, bicubic, centre."""

    def __init__(self, model: Any, tokenizer: Any, identity: Identity) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._side = int(model.config.vision_config.image_size)
        self._longest = int(model.config.text_config.max_position_embeddings)
        self.identity: Identity = {**identity, "settings": {**identity["settings"], "side": self._side}}

    def encode_pictures(self, pictures: list[Image.Image]) -> Tensor:
        pixels = torch.stack([centre_square(picture, self._side) for picture in pictures])
        pooled = self._model.vision_model(pixel_values=pixels.to(self._model.device, self._model.dtype)).pooler_output
        features: Tensor = self._model.visual_projection(pooled)
        return features

    def encode_texts(self, texts: list[str]) -> Tensor:
        read = self._tokenizer(
            texts, padding="max_length", truncation=True, max_length=self._longest, return_tensors="pt"
        )
        ids, mask = read["input_ids"].to(self._model.device), read["attention_mask"].to(self._model.device)
        pooled = self._model.text_model(input_ids=ids, attention_mask=mask).pooler_output
        features: Tensor = self._model.text_projection(pooled)
        return features


class OpenClipEncoder:
    """CLIP as open_clip has it."""

    def __init__(self, model: Any, preprocess: Any, tokenizer: Any, identity: Identity) -> None:
        self._model = model.eval()
        self._preprocess = preprocess
        self._tokenizer = tokenizer
        self._device = next(model.parameters()).device
        self.identity = identity

    def encode_pictures(self, pictures: list[Image.Image]) -> Tensor:
        pixels = torch.stack([self._preprocess(as_rgb(picture)) for picture in pictures])
        features: Tensor = self._model.encode_image(pixels.to(self._device))
        return features

    def encode_texts(self, texts: list[str]) -> Tensor:
        features: Tensor = self._model.encode_text(self._tokenizer(texts).to(self._device))
        return features


def centre_square(picture: Image.Image, side: int) -> Tensor:
    """(3, side, side): the shorter side resized, the middle of the longer one kept."""
    rgb = as_rgb(picture)
    scale = side / min(rgb.size)
    width, height = (max(side, int(length * scale)) for length in rgb.size)
    resized = rgb.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - side) / 2), round((height - side) / 2)
    square = np.array(resized.crop((left, top, left + side, top + side)), np.float32) / 255
    return torch.from_numpy((square - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)).permute(2, 0, 1)


def load_clip(argument: str | None) -> ClipJudge:
    """A model folder or a name on the hub, through transformers; the published one without an argument."""
    from transformers import AutoTokenizer, CLIPModel

    path = PUBLISHED_MODEL if argument is None else argument
    device = best_device()
    model = CLIPModel.from_pretrained(path).to(device)
    identity = _identity("clip", short_name(path), revision(path, model.config), device)
    return ClipJudge(TransformersEncoder(model, AutoTokenizer.from_pretrained(path), identity))


def load_open_clip(argument: str | None) -> ClipJudge:
    """Weights that open_clip knows by name, or a file of them, through open_clip itself."""
    import open_clip

    weights = OPEN_CLIP_WEIGHTS if argument is None else argument
    device = best_device()
    model, _, preprocess = open_clip.create_model_and_transforms(OPEN_CLIP_MODEL, pretrained=weights, device=device)
    identity = _identity("open-clip", OPEN_CLIP_MODEL, f"{short_name(weights)} {revision(weights)}", device)
    return ClipJudge(OpenClipEncoder(model, preprocess, open_clip.get_tokenizer(OPEN_CLIP_MODEL), identity))


def _identity(name: str, model: str, revision_text: str, device: torch.device) -> Identity:
    return {"name": name, "model": model, "revision": revision_text, "settings": {"device": device.type}}
