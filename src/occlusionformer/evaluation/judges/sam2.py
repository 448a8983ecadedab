"""SAM 2.1: the mask of the object in each box.

Arrays: N instances, H rows and W columns of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import Sam2Model

from occlusionformer.evaluation.benchmark import QuestionKind
from occlusionformer.evaluation.judgement import Identity, Json, JudgeAnswer, JudgeRequest
from occlusionformer.evaluation.judges.weights import best_device, revision, short_name
from occlusionformer.evaluation.masks import decode_mask, encode_mask
from occlusionformer.pictures import as_rgb

PUBLISHED_MODEL = "facebook/sam2.1-hiera-large"
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
SOFT_MASK_LOGIT = 10.0
"""What a smoothed mask prompt is scaled to: -10 outside, 10 inside."""


class Sam2Judge:
    """Prompted with the box of every instance, one mask for each; a pixel belongs where the logit is above 0."""

    kinds: frozenset[QuestionKind] = frozenset({"segment", "segment_by_mask", "segment_by_soft_mask"})
    needs: frozenset[QuestionKind] = frozenset()
    parallel = 1

    def __init__(self, model: Sam2Model, identity: Identity) -> None:
        self._model = model.eval()
        self.identity = identity

    @torch.inference_mode()
    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        """Masks of all instances of the request, in their order; None for one without a pixel.

        For `segment` the prompts are boxes alone. `segment_by_mask` adds the mask of each instance as zeros and ones,
        sampled without smoothing, as the code of arXiv 2506.00596 hands it to SAM's mask input; an instance whose
        mask is empty is prompted with zeros. `segment_by_soft_mask` adds smoothed logits, and nothing for an empty
        mask.
        """
        if not request.instances:
            return JudgeAnswer(answer=[])
        pixels_1CSS = _pixels(picture, self._side).to(self._model.device, self._model.dtype)
        embeddings = self._model.get_image_embeddings(pixels_1CSS)
        boxes_N4 = torch.tensor(request.boxes_in(self._side, self._side), device=pixels_1CSS.device)
        if request.kind == "segment":
            logits_N1hw = self._logits(embeddings, boxes_N4, None)
        else:
            prompt = self._binary_prompt if request.kind == "segment_by_mask" else self._soft_prompt
            prompts = [prompt(each.mask) for each in request.instances]
            found = [self._logits(embeddings, box_4[None], each) for box_4, each in zip(boxes_N4, prompts, strict=True)]
            logits_N1hw = torch.cat(found)
        masks_NHW = functional.interpolate(logits_N1hw, (picture.height, picture.width), mode="bilinear")[:, 0] > 0
        return JudgeAnswer(answer=[encode_mask(mask_HW) for mask_HW in masks_NHW.cpu().numpy()])

    def _logits(self, embeddings: list[Tensor], boxes_N4: Tensor, prompt_11hw: Tensor | None) -> Tensor:
        """(N, 1, h, w), at a quarter of the model's side."""
        output = self._model(
            image_embeddings=embeddings,
            input_boxes=boxes_N4[None].to(self._model.dtype),
            input_masks=prompt_11hw,
            multimask_output=False,
        )
        logits_N1hw: Tensor = output.pred_masks[0].float()
        return logits_N1hw

    def _binary_prompt(self, mask: Mapping[str, Json] | None) -> Tensor:
        """(1, 1, h, w) of zeros and ones, each the pixel nearest to the middle of the larger one."""
        side = self._side // 4
        if mask is None:
            smaller_11hw = torch.zeros(1, 1, side, side)
        else:
            mask_11HW = torch.from_numpy(decode_mask(mask)).float()[None, None]
            smaller_11hw = functional.interpolate(mask_11HW, (side, side), mode="nearest-exact")
        return smaller_11hw.to(self._model.device, self._model.dtype)

    def _soft_prompt(self, mask: Mapping[str, Json] | None) -> Tensor | None:
        """(1, 1, h, w) of -10 to 10: the mask as the logits of an earlier guess; None without a mask."""
        if mask is None:
            return None
        side = self._side // 4
        mask_11HW = torch.from_numpy(decode_mask(mask)).float()[None, None]
        smaller_11hw = functional.interpolate(mask_11HW, (side, side), mode="bilinear", antialias=True)
        logits_11hw = (smaller_11hw * 2 - 1) * SOFT_MASK_LOGIT
        return logits_11hw.to(self._model.device, self._model.dtype)

    @property
    def _side(self) -> int:
        size = self._model.config.prompt_encoder_config.image_size
        return int(size if isinstance(size, int) else size[0])


def _pixels(picture: Image.Image, side: int) -> Tensor:
    """(1, 3, side, side): stretched to a square and normalised, as the model was trained."""
    values_HWC = torch.from_numpy(np.array(as_rgb(picture), np.float32) / 255)
    values_1CHW = values_HWC.permute(2, 0, 1)[None]
    resized_1CHW = functional.interpolate(values_1CHW, (side, side), mode="bilinear", antialias=True)
    mean, deviation = (torch.tensor(numbers)[None, :, None, None] for numbers in (MEAN, DEVIATION))
    return (resized_1CHW - mean) / deviation


def load_sam2(argument: str | None) -> Sam2Judge:
    """A model folder, or a name on the hub; the published segmenter without an argument."""
    path = PUBLISHED_MODEL if argument is None else argument
    device = best_device()
    model = Sam2Model.from_pretrained(path).to(device)
    identity: Identity = {
        "name": "sam2",
        "model": short_name(path),
        "revision": revision(path, model.config),
        "settings": {"threshold": 0.0, "soft_mask_logit": SOFT_MASK_LOGIT, "device": device.type},
    }
    return Sam2Judge(model, identity)
