"""Qwen2.5-VL through transformers, one question at a time. For many pictures a server is several times faster."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from PIL.Image import Image
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from occlusionformer.evaluation.judgement import Identity, JudgementError
from occlusionformer.evaluation.judges.vlm import VlmJudge
from occlusionformer.evaluation.judges.vlm_prompts import SYSTEM
from occlusionformer.evaluation.judges.weights import best_device, best_dtype, revision, short_name
from occlusionformer.pictures import as_rgb

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

try:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil as PictureSplitter
except ImportError:  # before transformers 5 the plain name is the one that needs no torchvision
    from transformers import Qwen2VLImageProcessor as PictureSplitter

PUBLISHED_MODEL = "Qwen/Qwen2.5-VL-32B-Instruct"
"""The judge of the published figures; about 67 GB in bfloat16."""

MAX_TOKENS = 1024

CHAT = (
    "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{text}"
    "<|vision_start|>{picture}<|vision_end|><|im_end|>\n<|im_start|>assistant\n"
)
PICTURE_TOKEN = "<|image_pad|>"


class QwenModel:
    """Gets the text first and the picture second; decodes greedily."""

    parallel = 1

    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        splitter: PictureSplitter,
        *,
        identity: Identity,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._splitter = splitter
        self._max_tokens = max_tokens
        self.identity: Identity = {
            **identity,
            "settings": {**identity["settings"], "max_tokens": max_tokens, "temperature": 0.0},
        }

    @torch.inference_mode()
    def ask(self, text: str, picture: Image) -> str:
        """Raises JudgementError for a picture too narrow to be split (sides of more than 200 to 1)."""
        try:
            split = self._splitter(images=[as_rgb(picture)], return_tensors="pt")
        except ValueError as error:
            raise JudgementError("refused", str(error)) from error
        grid_13 = split["image_grid_thw"]
        num_tokens = int(grid_13[0].prod()) // self._splitter.merge_size**2
        prompt = CHAT.format(system=SYSTEM, text=_plain(text), picture=PICTURE_TOKEN * num_tokens)
        asked = self._tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        device = self._model.device
        inputs: dict[str, Any] = {
            "input_ids": asked["input_ids"].to(device),
            "attention_mask": asked["attention_mask"].to(device),
            "pixel_values": split["pixel_values"].to(device, self._model.dtype),
            "image_grid_thw": grid_13.to(device),
        }
        if "mm_token_type_ids" in inspect.signature(self._model.forward).parameters:
            picture_id = self._tokenizer.convert_tokens_to_ids(PICTURE_TOKEN)
            inputs["mm_token_type_ids"] = (inputs["input_ids"] == picture_id).int()
        said = self._model.generate(**inputs, do_sample=False, max_new_tokens=self._max_tokens)
        new = said[0, inputs["input_ids"].shape[1] :]
        return str(self._tokenizer.decode(new, skip_special_tokens=True))


def _plain(text: str) -> str:
    """Text without special tokens: a caption must not end the turn or stand for a picture."""
    return text.replace("<|", "< |")


def load_qwen(argument: str | None) -> VlmJudge:
    """A model folder, or a name on the hub; the published judge without an argument."""
    path = PUBLISHED_MODEL if argument is None else argument
    device = best_device()
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(path, dtype=best_dtype(device), device_map=device.type)
    identity: Identity = {
        "name": "qwen",
        "model": short_name(path),
        "revision": revision(path, model.config),
        "settings": {"dtype": str(model.dtype), "device": device.type},
    }
    tokenizer = AutoTokenizer.from_pretrained(path)
    return VlmJudge(QwenModel(model, tokenizer, PictureSplitter.from_pretrained(path), identity=identity))
