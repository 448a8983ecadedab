"""Methods that give every instance's text a segment of its own before the global prompt."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from occlusionformer.methods.looks import ids_of_texts, rotary_of
from occlusionformer.methods.slots import Slots, sequence_problems
from occlusionformer.model.backbones.streams import Streams
from occlusionformer.model.method import ForwardState, InstanceTexts, Method, StepInputs, TextNeeds
from occlusionformer.tensors.grid import TokenGrid


class SegmentMethod(Method):
    """Reads each instance's caption as a sequence of its own, encoded as the global prompt is."""

    texts = TextNeeds(sequence_tokens="prompt")

    def text_problems(self, texts: InstanceTexts, count: int) -> list[str]:
        """texts.sequence_NSE holds each caption, at least one token long."""
        return sequence_problems(texts, count, 1)


class SegmentState(ForwardState):
    """One forward with segments; `rotary` are position tables of every picture, where segments have places in it."""

    rotary: tuple[Tensor, Tensor] | None = None

    def placed(self, streams: Streams) -> Streams:
        """The streams of a block, with those tables."""
        return streams if self.rotary is None else replace(streams, rotary=self.rotary)


def put_before_prompt(state: SegmentState, slots: Slots, text_NGE: Tensor, inputs: StepInputs, grid: TokenGrid) -> None:
    """Give a forward the text sequence [segments; prompt] and its ids.

    Empty slots are segments of zeros. Rows that show what an instance looks like lie over its box, where the backbone
    reads such rows; all others of a segment lie at zero.
    """
    prompt = inputs.encoder_hidden_states
    segments_BKGE = slots.spread(text_NGE, text_NGE.new_zeros(()))
    state.encoder_hidden_states = torch.cat([segments_BKGE.flatten(1, 2).to(prompt.dtype), prompt], 1)
    extra = segments_BKGE.shape[1] * segments_BKGE.shape[2]
    state.text_ids = torch.cat([inputs.text_ids.new_zeros(extra, 3), inputs.text_ids])
    ids_BM3 = ids_of_texts(state.text_ids[:extra], text_NGE, slots, grid, inputs)
    if ids_BM3 is not None:
        rest_J3 = torch.cat([inputs.text_ids, inputs.image_ids]).to(ids_BM3)
        state.rotary = rotary_of(torch.cat([ids_BM3, rest_J3.expand(len(ids_BM3), -1, -1)], 1), inputs)
