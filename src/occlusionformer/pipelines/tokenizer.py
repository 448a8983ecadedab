"""A tokenizer that reads without transformers, which takes longer to load than a small model takes to draw."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.hub_utils import _get_model_file
from diffusers.utils.outputs import BaseOutput
from tokenizers import Tokenizer

from occlusionformer.layout import write_atomic
from occlusionformer.tensors.files import CheckpointError, first_line, printable_name, read_json

RULES_FILE, SETTINGS_FILE = "tokenizer.json", "tokenizer_config.json"

MOST_TOKENS = 2**16
"""Of a text, which may be padded to them."""

Padding = bool | Literal["longest", "max_length", "do_not_pad"]

ACCEPTED: Mapping[str, tuple[object, ...]] = {
    "padding": (False, True, "longest", "max_length", "do_not_pad"),
    "truncation": (None, False, True),
    "return_length": (False,),
    "return_overflowing_tokens": (False,),
    "return_tensors": (None, "pt"),
}
"""Values of a call's arguments."""


@dataclass
class TextTokens(BaseOutput):
    """Tokens of B texts with S of each: lists of lists, or tensors (B, S) of int64."""

    input_ids: Any
    attention_mask: Any
    """1 at tokens of the text, 0 at padding."""


class PlainTokenizer(SchedulerMixin):  # type: ignore[misc]
    """Reads texts as the PreTrainedTokenizerFast of the same two files does, with the arguments that pipelines give.

    Its folder holds `tokenizer.json` and `tokenizer_config.json` as transformers writes them, which loads it too. Texts
    are padded and cut on the right; threads may share one.

    diffusers stores and loads components of few base classes and has none for tokenizers but those of transformers; of
    the schedulers' this has `save_pretrained` and `from_pretrained`.
    """

    def __init__(self, rules: str, settings: Mapping[str, Any]) -> None:
        """From the text of tokenizer.json and the values of tokenizer_config.json. Raises ValueError."""
        try:
            self._reader = Tokenizer.from_str(rules)
        except Exception as error:  # the library raises nothing more special
            raise ValueError(f"{RULES_FILE}: {first_line(error)}") from error
        self._reader.no_padding()
        self._reader.no_truncation()
        self._settings = dict(settings)
        limit = settings.get("model_max_length")
        if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST_TOKENS:
            expected = f"expected a whole number of 1 to {MOST_TOKENS}"
            raise ValueError(f"{SETTINGS_FILE}: model_max_length: {expected}, got {printable_name(limit)}")
        self.model_max_length: int = limit
        self.pad_token_id = self._special("pad_token")
        self.unk_token_id = self._special("unk_token")

    @classmethod
    def from_pretrained(  # noqa: PLR0913 - what loaders of diffusers say of a component
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        subfolder: str | None = None,
        revision: str | None = None,
        cache_dir: str | None = None,
        token: str | bool | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        proxies: Mapping[str, str] | None = None,
        **of_models: Any,
    ) -> Self:
        """From a folder or a hub id. Raises CheckpointError for damaged files, OSError for missing ones.

        of_models: `variant` and the like, which say something of weights alone.
        """
        source = {
            "subfolder": subfolder, "revision": revision, "cache_dir": cache_dir, "token": token,
            "force_download": force_download, "local_files_only": local_files_only, "proxies": proxies,
        }  # fmt: skip
        rules, settings = (
            Path(_get_model_file(os.fspath(pretrained_model_name_or_path), weights_name=name, **source))
            for name in (RULES_FILE, SETTINGS_FILE)
        )
        try:
            return cls(rules.read_text(encoding="utf-8"), read_json(settings))
        except CheckpointError:
            raise
        except ValueError as error:
            raise CheckpointError(rules.parent, [first_line(error)]) from error

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write both files into a folder, which is made where it is missing."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / RULES_FILE, self._reader.to_str(pretty=True) + "\n")
        write_atomic(folder / SETTINGS_FILE, json.dumps(self._settings, indent=2) + "\n")

    def __call__(  # noqa: PLR0913 - what Flux pipelines say in a call
        self,
        text: str | Sequence[str],
        *,
        padding: Padding = False,
        max_length: int | None = None,
        truncation: bool | None = None,
        add_special_tokens: bool = True,
        return_length: Literal[False] = False,
        return_overflowing_tokens: Literal[False] = False,
        return_tensors: Literal["pt"] | None = None,
        verbose: bool = True,
    ) -> TextTokens:
        """Tokens of one text or of B, with arguments that mean what they mean in transformers.

        One text gives plain lists, or tensors of one row. A `max_length` alone cuts, beside padding it does not without
        `truncation`. Raises ValueError for texts of different lengths where
        tensors are wanted, and for what only other tokenizers return.
        """
        given = {
            "padding": padding, "truncation": truncation, "return_length": return_length,
            "return_overflowing_tokens": return_overflowing_tokens, "return_tensors": return_tensors,
        }  # fmt: skip
        for name, value in given.items():
            if value not in ACCEPTED[name]:
                raise ValueError(f"{name}: expected one of {', '.join(map(repr, ACCEPTED[name]))}, got {value!r}")
        limit = self.model_max_length if max_length is None else max_length
        texts = [text] if isinstance(text, str) else list(text)
        read = self._reader.encode_batch(texts, add_special_tokens=add_special_tokens)
        cuts = truncation or (truncation is None and padding is False and max_length is not None)
        rows = [encoding.ids[:limit] if cuts else encoding.ids for encoding in read]
        width = limit if padding == "max_length" else max(map(len, rows), default=0)
        padded = 0 if padding in (False, "do_not_pad") else width
        ids = [row + [self.pad_token_id] * (padded - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (padded - len(row)) for row in rows]
        if return_tensors == "pt":
            shape = (len(rows), max(map(len, ids), default=width))
            return TextTokens(*(torch.tensor(lists, dtype=torch.int64).reshape(shape) for lists in (ids, mask)))
        return TextTokens(ids[0], mask[0]) if isinstance(text, str) else TextTokens(ids, mask)

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text as they are written in the vocabulary."""
        tokens: list[str] = self._reader.encode(text, add_special_tokens=False).tokens
        return tokens

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Tokens as they are written in the vocabulary. Raises ValueError for a number that none has."""
        numbers = [int(number) for number in ids]
        tokens = [token for number in numbers if (token := self._reader.id_to_token(number)) is not None]
        if len(tokens) < len(numbers):
            raise ValueError(f"ids: expected numbers below {len(self)}, got {max(numbers)}")
        return tokens

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """The text of tokens, a list or an array (S,)."""
        text: str = self._reader.decode([int(number) for number in ids], skip_special_tokens=skip_special_tokens)
        return text

    def batch_decode(self, sequences: Iterable[Iterable[int]], skip_special_tokens: bool = False) -> list[str]:
        """The texts of tokens, lists or an array (B, S)."""
        return [self.decode(ids, skip_special_tokens) for ids in sequences]

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Numbers of the tokens that are no part of words."""
        return {token.content: number for number, token in self._reader.get_added_tokens_decoder().items()}

    def __len__(self) -> int:
        size: int = self._reader.get_vocab_size()
        return size

    def _special(self, name: str) -> int:
        token = self._settings.get(name)
        number = self._reader.token_to_id(token) if isinstance(token, str) else None
        if number is None:
            raise ValueError(f"{SETTINGS_FILE}: {name}: expected a token of {RULES_FILE}, got {printable_name(token)}")
        return int(number)
