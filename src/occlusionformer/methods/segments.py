"""Methods that give every instance's text a segment of its own before the global prompt."""

from __future__ import annotations

import torch
from torch import Tensor

from occlusionformer.methods.slots import Slots, sequence_problems
from occlusionformer.model.method import ForwardState, InstanceTexts, Method, StepInputs, TextNeeds


class SegmentMethod(Method):
    """Reads each instance's caption as a sequence of its own, encoded as the global prompt is."""

    texts = TextNeeds(sequence_tokens="prompt")

    def text_problems(self, texts: InstanceTexts, count: int) -> list[str]:
        """texts.sequence_NSE holds each caption, at least one token long."""
        return sequence_problems(texts, count, 1)


def put_before_prompt(state: ForwardState, slots: Slots, text_NGE: Tensor, inputs: StepInputs) -> int:
    """Give a forward the text sequence [segments; prompt] and its ids; the number of tokens of all segments.

    Empty slots are segments of zeros.
    """
    prompt = inputs.encoder_hidden_states
    segments_BKGE = slots.spread(text_NGE, text_NGE.new_zeros(()))
    state.encoder_hidden_states = torch.cat([segments_BKGE.flatten(1, 2).to(prompt.dtype), prompt], 1)
    extra = segments_BKGE.shape[1] * segments_BKGE.shape[2]
    state.text_ids = torch.cat([inputs.text_ids.new_zeros(extra, 3), inputs.text_ids])
    return extra
