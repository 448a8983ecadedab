"""The embedded text encoder: one vector per word piece, of a sentence encoder and word vectors, taught a dictionary.

Arrays: B texts, S tokens, V word pieces, D channels, M known phrases, P phrases of a text, L tokens of looks, H hidden,
C components of a patch.
"""

from __future__ import annotations

import occlusionformer.model  # noqa: F401 - before anything else imports diffusers

# isort: split
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.outputs import BaseOutput
from torch import Tensor, nn

from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.embedded.wordings import NamedPart, longest_within, wording
from occlusionformer.model.precision import outside_autocast
from occlusionformer.pipelines.tokenizer import PlainTokenizer

SAID_ALMOST = 0.98
"""Cosine to a known phrase from which a text is read by the known phrases, where the table has other keys too."""
A_KIND_OF = 0.5
"""Cosine to a known wording from which a known phrase is a kind of it: more than half of what it says is the same."""
ONLY_NEAREST = 1 << 14
"""Added to an answer that is not what is meant, only the nearest there is."""
TINT = 0.7
"""Length of a colour's vector beside that of what has the colour."""
LOOKS_LIKE_SOMETHING = 0.05
"""Length of the look's part of a phrase's vector, of length 1, from which it looks like something."""
SLOWEST = 1e4
"""Wavelength of the slowest sinusoid of a token's place, over 2 pi, in tokens (arXiv 1706.03762, section 3.5)."""

Known = tuple[Tensor, Tensor]
"""Known phrases and what they are known as, in float64."""
Reading = tuple[Tensor, Tensor]
"""Of one text: the number of the phrase that each token is in (S,), and the phrases' directions (P, D), float32."""


@dataclass
class TextVectors(BaseOutput):
    """What the encoder says of B texts, under the names that a Flux pipeline reads."""

    last_hidden_state: Tensor
    """A vector for every token, (B, S, D)."""
    pooler_output: Tensor
    """A vector for every text, (B, D)."""
    hidden_states: tuple[Tensor, ...] | None = None
    """The first again, for those who ask for it."""


class StaticTextModel(ModelMixin, ConfigMixin):
    """Looks tokens up; serves a Flux pipeline as both of its text encoders.

    Where the table knows colour words, "a blue vase" is read as the known phrase nearest to "vase", and blue: the
    colour has channels of its own, so that a pair of object and colour that was never seen is read as exactly that.
    A colour word is none where nothing else is said ("an orange"), nor in a known wording ("a red apple"), of which
    there are `num_said`: told by its tokens, since beside a heavy noun a colour word hardly turns the mean. A text that
    is none but has one in it is read as that: the longest, of equally long ones the last before `link_ids`, words
    after which something else is spoken of. So "a vintage tram by the sea" is a tram. Where the keys lead to a kind of
    it, as "a race car" to "racing car", it is read as that.

    With `phrases`, texts are cut at the separator: the pooled vector is the sum of those of the phrases, and every
    token's vector has that of its phrase added, since no attention would tell it what it belongs to.

    The sequence is the second encoder's output and the weighted mean over real tokens is the first one's. There is no
    attention: a token's vector does not depend on its neighbours, only, with `positions`, on its place. `weight` says
    how much a token counts in the mean: "rucksack" far more than "red". With `known` phrases, those that the image
    model was trained on, the mean is expressed by them: attention over the known phrases, by their cosine to it, so
    that a word never seen is read as the nearest that was. What is read is their `known_as`, the vectors that the image
    model learnt them by: a table that knows words better needs no other image model. Nothing of it is trained with the
    image model. A new model is blank: all zeros.

    With `num_keys`, known phrases are for what says them. Any other text is read as one of them: its words have vectors
    of their own for this (`word_keys`), whose sum is compared with `phrase_keys`; each leads to a known phrase.
    Then only the first `num_rows` tokens, those of the known phrases, have rows in the table; the others have none.
    Of `num_answers` other wordings the table keeps what they are read as, since more is known of them than fits into a
    sum: the whole of such a text is read so, and one that names something visible is, within another text, like a known
    wording.
    `num_meanings` is how many different vectors phrases are known as, where several share one.

    With `num_looks`, tokens that tell what a phrase looks like follow the words, from `look_start` on where that is
    given, so many for each phrase in turn that has a look, as far as there is room: a square of patches of a coarse
    picture, which an MLP makes of the phrase's vector. Each has the patch, in components of which `look_axes` makes
    pixels, then what the phrase means and its colour, then which patch it is. The first `look_channels` of a phrase's
    vector are how it looks; patch and number take their place.

    `separator_id` is the token between two phrases, `ignored_ids` are tokens that mean nothing, as articles.

    It is a model of diffusers, as loading what transformers' models are made of takes longer than drawing a picture.
    """

    table: Tensor
    colour_ids: Tensor
    known_of: Tensor
    """Which row of `known_as` each known phrase has, with `num_meanings`."""
    word_keys: Tensor
    phrase_keys: Tensor
    leads_to: Tensor
    """Which known phrase each key leads to."""
    said: Tensor
    """The numbers of all known wordings, with `num_said`; see `wording`."""
    said_as: Tensor
    """Which row of `known_as` each known wording has."""
    answers: Tensor
    """The numbers of wordings whose meaning is kept, ascending, with `num_answers`; see `wording`."""
    answers_as: Tensor
    """Which row of `known_as` each of these has; more by ONLY_NEAREST where that is only the nearest there is, which
    counts within a text if nothing else does; -1 minus the row where it counts as a whole text alone."""

    @register_to_config
    def __init__(  # noqa: PLR0913 - diffusers learns what is stored from this signature
        self,
        vocab_size: int = 32,
        hidden_size: int = 256,
        pad_token_id: int = 0,
        num_known: int = 0,
        sharpness: float = 25.0,
        positions: bool = False,
        num_colours: int = 0,
        num_said: int = 0,
        link_ids: Sequence[int] = (),
        phrases: bool = False,
        separator_id: int | None = None,
        ignored_ids: Sequence[int] = (),
        num_rows: int | None = None,
        num_meanings: int | None = None,
        num_keys: int = 0,
        key_size: int = 128,
        num_looks: int = 0,
        look_size: int = 128,
        look_channels: int = 144,
        look_hidden: int = 512,
        look_pixels: int = 256,
        num_answers: int = 0,
        look_start: int = 0,
    ) -> None:
        super().__init__()
        rows = vocab_size if num_rows is None else num_rows
        self.register_buffer("table", torch.zeros(rows, hidden_size, dtype=torch.int8))
        self.scale = nn.Parameter(torch.zeros(rows, 1), requires_grad=False)
        self.weight = nn.Parameter(torch.ones(rows, 1), requires_grad=False)
        self.known = nn.Parameter(torch.zeros(num_known, hidden_size), requires_grad=False)
        self.known_as = nn.Parameter(torch.zeros(num_meanings or num_known, hidden_size), requires_grad=False)
        if num_meanings is not None:
            self.register_buffer("known_of", torch.zeros(num_known, dtype=torch.int64))
        if num_keys:
            self.register_buffer("word_keys", torch.zeros(vocab_size, key_size, dtype=torch.int8))
            self.word_scale = nn.Parameter(torch.zeros(vocab_size, 1), requires_grad=False)
            self.register_buffer("phrase_keys", torch.zeros(num_keys, key_size, dtype=torch.int8))
            self.phrase_scale = nn.Parameter(torch.zeros(num_keys, 1), requires_grad=False)
            self.register_buffer("leads_to", torch.zeros(num_keys, dtype=torch.int64))
        if num_looks:
            if look_size + num_looks != look_channels:
                found = f"{look_size} + {num_looks} and {look_channels}"
                raise ValueError(f"text table: expected look_size + num_looks to be look_channels, got {found}")
            self.look_in = nn.Linear(hidden_size, look_hidden)
            self.look_mid = nn.Linear(look_hidden, look_hidden)
            self.look_out = nn.Linear(look_hidden, num_looks * look_size)
            for layer in (self.look_in, self.look_mid, self.look_out):
                nn.init.zeros_(layer.requires_grad_(False).weight)
                nn.init.zeros_(layer.bias)
            self.look_axes = nn.Parameter(torch.zeros(look_size, look_pixels), requires_grad=False)
        if num_said:
            self.register_buffer("said", torch.zeros(num_said, dtype=torch.int64))
            self.register_buffer("said_as", torch.zeros(num_said, dtype=torch.int64))
        if num_answers:
            self.register_buffer("answers", torch.zeros(num_answers, dtype=torch.int64))
            self.register_buffer("answers_as", torch.zeros(num_answers, dtype=torch.int16))
        self.register_buffer("colour_ids", torch.zeros(num_colours, dtype=torch.int64))
        self.colour_as = nn.Parameter(torch.zeros(num_colours, hidden_size), requires_grad=False)

    @outside_autocast
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        output_hidden_states: bool = False,
        return_dict: bool = True,
    ) -> TextVectors | tuple[Tensor, ...]:
        """Vectors (B, S, D), zero at padding, and their pooled mean (B, D).

        Entries of both have unit variance; places add another half to that of the vectors.

        Without a mask, tokens equal to `config.pad_token_id` are padding. A text of padding alone pools to zero.
        """
        rows_BSD, is_token_BS = self._rows(input_ids, attention_mask)
        readings = self._readings(input_ids, is_token_BS, rows_BSD)
        placed_BSD = self._placed(rows_BSD, is_token_BS)
        if self.config.phrases and readings:
            phrase_BSD = torch.stack([phrase_PD[number_S] for number_S, phrase_PD in readings]).to(rows_BSD.dtype)
            placed_BSD = placed_BSD + phrase_BSD * self.config.hidden_size**0.5 * is_token_BS.unsqueeze(-1)
        if self.config.num_looks:
            for text, (length, (_, phrase_PD)) in enumerate(zip(is_token_BS.sum(1).tolist(), readings, strict=True)):
                first = self.config.look_start or length
                look_LD = self._looks(phrase_PD)[: max(0, placed_BSD.shape[1] - first)]
                placed_BSD[text, first : first + len(look_LD)] = look_LD.to(placed_BSD.dtype)
        output = TextVectors(
            last_hidden_state=placed_BSD,
            pooler_output=self._pooled(readings, rows_BSD),
            hidden_states=(placed_BSD,) if output_hidden_states else None,
        )
        return output if return_dict else tuple(output.to_tuple())

    @outside_autocast
    def pooled(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The pooled vectors of texts alone, (B, D): those of `forward`, without what its tokens take."""
        rows_BSD, is_token_BS = self._rows(input_ids, attention_mask)
        return self._pooled(self._readings(input_ids, is_token_BS, rows_BSD), rows_BSD)

    def look(self, vector_D: Tensor) -> Tensor:
        """The patches of a pooled vector's picture in their components, (L, C)."""
        hidden_H = nn.functional.gelu(self.look_in(vector_D.to(self.look_in.weight.dtype)))
        hidden_H = nn.functional.gelu(self.look_mid(hidden_H))
        patch_LC: Tensor = self.look_out(hidden_H).unflatten(-1, (self.config.num_looks, self.config.look_size))
        return patch_LC.float()

    def _looks(self, phrase_PD: Tensor) -> Tensor:
        """The tokens of what phrases look like, those that look like something, one after the other, (L, D)."""
        count, size = self.config.num_looks, self.config.look_size
        seen_PD = phrase_PD[phrase_PD[:, : self.config.look_channels].norm(dim=1) > LOOKS_LIKE_SOMETHING]
        seen_PD = seen_PD.float() * self.config.hidden_size**0.5
        # Row by row: a product's rounding depends on its shape.
        patches = [self.look(row_D) for row_D in seen_PD]
        patch_PLC = torch.stack(patches) if patches else seen_PD.new_zeros(0, count, size)
        of_phrase_PLC = seen_PD[:, None, self.config.look_channels :].expand(-1, count, -1)
        place_LL = torch.eye(count) * count**0.5
        place_PLL = place_LL.to(seen_PD).expand(len(seen_PD), -1, -1)
        return torch.cat([patch_PLC, of_phrase_PLC, place_PLL], dim=2).flatten(0, 1)

    def _rows(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The table's row for every token (B, S, D), zero where it has none, and which tokens are no padding (B, S)."""
        is_token_BS = input_ids != self.config.pad_token_id if attention_mask is None else attention_mask.bool()
        row_BS = input_ids.clamp(max=len(self.table) - 1)
        rows_BSD = self.table[row_BS].to(self.scale.dtype) * self.scale[row_BS]
        return rows_BSD * (is_token_BS & (input_ids < len(self.table))).unsqueeze(-1), is_token_BS

    def _readings(self, input_ids: Tensor, is_token_BS: Tensor, rows_BSD: Tensor) -> list[Reading]:
        """Text by text: a product over the batch would round differently with its size, and what is encoded must
        not depend on what else is."""
        input_ids = input_ids.masked_fill(~is_token_BS, self.config.pad_token_id)
        weight_BS1 = self.weight[input_ids.clamp(max=len(self.table) - 1)]
        known_as = self.known_as.double()
        known = (self.known.double(), known_as if self.config.num_meanings is None else known_as[self.known_of])
        weighted_BSD = rows_BSD.float() * weight_BS1.float()
        return [self._read(ids_S, text_SD, known) for ids_S, text_SD in zip(input_ids, weighted_BSD, strict=True)]

    def _read(self, ids_S: Tensor, weighted_SD: Tensor, known: Known) -> Reading:
        if not self.config.phrases:
            return torch.zeros_like(ids_S), self._phrase(ids_S, weighted_SD, known)[None]
        at_separator_S = ids_S.eq(-1 if self.config.separator_id is None else self.config.separator_id)
        number_S = at_separator_S.cumsum(0)
        directions = []
        for number in range(int(number_S[-1]) + 1 if len(number_S) else 0):
            inside_S = (number_S == number) & ~at_separator_S
            directions.append(self._phrase(ids_S[inside_S], weighted_SD[inside_S], known))
        return number_S, torch.stack(directions) if directions else weighted_SD[:0]

    def _pooled(self, readings: Sequence[Reading], rows_BSD: Tensor) -> Tensor:
        """The sums of the texts' phrases as directions, with entries of unit variance, (B, D)."""
        if not readings:
            return rows_BSD.sum(1)
        if self.config.phrases:
            unit_BD = torch.stack([_direction(phrase_PD) for _, phrase_PD in readings])
        else:
            unit_BD = torch.cat([phrase_PD for _, phrase_PD in readings])
        return (unit_BD * self.config.hidden_size**0.5).to(rows_BSD.dtype)

    def _phrase(self, ids_S: Tensor, weighted_SD: Tensor, known: Known) -> Tensor:
        """The direction of one phrase: of the known one it is or is nearest to, and of its colour; (D,), float32."""
        if not self.config.num_colours:
            return self._recalled(_direction(weighted_SD), known)
        counts_S = ~torch.isin(ids_S, ids_S.new_tensor(self.config.ignored_ids))
        is_colour_SK = ids_S[:, None] == self.colour_ids
        is_colour_S = is_colour_SK.any(1)
        noun_S = counts_S & ~is_colour_S
        whole, noun = (ids_S[counts_S], weighted_SD[counts_S]), (ids_S[noun_S], weighted_SD[noun_S])
        if not self._says_anything(*noun):
            return self._recalled(_direction(whole[1]), known)
        if not is_colour_S.any() or self._is_said(whole[0]):
            return self._meant(*whole, known)
        tint_D = _direction(self.colour_as[is_colour_SK.any(0)])
        return nn.functional.normalize(self._meant(*noun, known) + TINT * tint_D, dim=0)

    def _says_anything(self, ids_S: Tensor, weighted_SD: Tensor) -> bool:
        return bool(weighted_SD.any()) or bool(self.config.num_keys and self.word_scale[ids_S].any())

    def _is_said(self, ids_S: Tensor) -> bool:
        """Whether these tokens are a known wording."""
        if not self.config.num_said:
            return False
        return bool((self.said == wording(ids_S[ids_S != self.config.pad_token_id].tolist())).any())

    def _named(self, ids_S: Tensor) -> NamedPart | None:
        """The known wording within these tokens, or what else is told to name something; None where nothing is."""
        if not self.config.num_said:
            return None
        meaning = dict(zip(self.said.tolist(), self.said_as.tolist(), strict=True))

        def told(part: Sequence[int], least: int) -> int | None:
            answer = self._answer(wording(part))
            return answer - least if answer is not None and least <= answer < least + ONLY_NEAREST else None

        ids = ids_S[: int((ids_S != self.config.pad_token_id).sum())].tolist()
        links = self.config.link_ids
        named = longest_within(ids, links, lambda part: meaning.get(wording(part)), lambda part: told(part, 0))
        return named or longest_within(ids, links, lambda part: told(part, ONLY_NEAREST))

    def _answer(self, number: int) -> int | None:
        """What a wording of this number is kept to be read as, as `answers_as` has it; None where nothing is."""
        if not self.config.num_answers:
            return None
        place = int(torch.searchsorted(self.answers, number))
        found = place < len(self.answers) and int(self.answers[place]) == number
        return int(self.answers_as[place]) if found else None

    def _is_known(self, ids_S: Tensor, cosine_M: Tensor) -> bool:
        """Whether a known phrase is near; none is where a word has no row in the table."""
        if self.config.num_keys and bool(self.word_scale[ids_S[ids_S >= len(self.table)]].any()):
            return False
        return bool(cosine_M.max() > SAID_ALMOST)

    def _meant(self, ids_S: Tensor, weighted_SD: Tensor, known: Known) -> Tensor:
        """The direction that a text's known phrases are known as: those near it, or the one that the keys lead to."""
        unit_D = _direction(weighted_SD)
        cosine_M = known[0] @ unit_D.double()
        if not self.config.num_keys or self._is_known(ids_S, cosine_M):
            return self._recalled(unit_D, known, cosine_M)
        answer = self._answer(wording(ids_S[ids_S != self.config.pad_token_id].tolist()))
        if answer is not None:
            return self._as(answer % ONLY_NEAREST if answer >= 0 else -1 - answer, unit_D)
        words_K = (self.word_keys[ids_S].double() * self.word_scale[ids_S].double()).sum(0)
        nearest = int(((self.phrase_keys.double() @ words_K) * self.phrase_scale.double()[:, 0]).argmax())
        led_to_D = self.known[self.leads_to[nearest]].to(unit_D.dtype) * bool(words_K.any())
        named = self._named(ids_S)
        if named is not None and not (
            self._is_said(ids_S[named.places]) and float(_direction(weighted_SD[named.places]) @ led_to_D) >= A_KIND_OF
        ):
            return self._as(named.meaning, unit_D)
        return self._recalled(led_to_D, known)

    def _as(self, meaning: int, like_D: Tensor) -> Tensor:
        """The direction of a row of `known_as`, (D,)."""
        return nn.functional.normalize(self.known_as[meaning].float(), dim=0).to(like_D.dtype)

    def _placed(self, rows_BSD: Tensor, is_token_BS: Tensor) -> Tensor:
        """With sinusoids of their places added, where the model has `positions`: Flux itself gives texts none."""
        if not self.config.positions:
            return rows_BSD
        place_S1 = torch.arange(rows_BSD.shape[1], device=rows_BSD.device)[:, None]
        half = self.config.hidden_size // 2
        angle_SH = place_S1 * SLOWEST ** (-torch.arange(half, device=rows_BSD.device) / half)
        wave_SD = torch.cat([angle_SH.sin(), angle_SH.cos()], dim=-1).to(rows_BSD.dtype)
        return rows_BSD + wave_SD * is_token_BS.unsqueeze(-1)

    def _recalled(self, unit_D: Tensor, known: Known, cosine_M: Tensor | None = None) -> Tensor:
        """The direction that the known phrases near this one are known as; a text of padding alone stays zero.

        cosine_M: to the known phrases, where they have been compared already.
        """
        if not len(self.known) or not unit_D.any():
            return unit_D
        share_M = torch.softmax(
            self.config.sharpness * ((known[0] @ unit_D.double()) if cosine_M is None else cosine_M), dim=0
        )
        return nn.functional.normalize(share_M @ known[1], dim=0).to(unit_D.dtype)


def _direction(vectors_SD: Tensor) -> Tensor:
    """Of the sum of vectors, (D,); zero where that is."""
    return nn.functional.normalize(vectors_SD.sum(0), dim=0)


def packaged_text_model(folder: Path = EMBEDDED.text) -> StaticTextModel:
    """A table that ships with the package, in float32."""
    model: StaticTextModel = StaticTextModel.from_pretrained(folder, local_files_only=True)
    return model


def packaged_tokenizer(folder: Path = EMBEDDED.text) -> PlainTokenizer:
    """Lower-case WordPiece without start or end tokens, padded with zeros, at most 77 tokens."""
    return PlainTokenizer.from_pretrained(folder, local_files_only=True)


def packaged_reader(folder: Path = EMBEDDED.text) -> Callable[[Sequence[str]], Tensor]:
    """Reads texts as a pipeline with this encoder does: one vector for each, (texts, 256)."""
    model, tokenizer = packaged_text_model(folder), packaged_tokenizer(folder)

    def read(texts: Sequence[str]) -> Tensor:
        pieces = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
        return model.pooled(pieces.input_ids)

    return read
