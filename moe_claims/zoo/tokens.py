"""Creates the tokenizer and the token streams of a training text, and caches them beside the runs."""

import hashlib
import json
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from moe_claims.errors import TextError
from moe_claims.zoo.recipes import Recipe
from moe_claims.zoo.text import documents

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BEGIN, END = "<s>", "</s>"
HELD_OUT_EVERY = 100
"""One document in this many is held out; the same documents for all models."""


@final
class TokenStream:
    """Documents concatenated into one array of token ids.

    Attributes:
        ids: (T,) token ids; each document ends with ``</s>``.
        utf8_bytes: length of the text in UTF-8 bytes, to compute bits per byte.
    """

    def __init__(self, ids: NDArray[np.uint16], utf8_bytes: int) -> None:
        self.ids = ids
        self.utf8_bytes = utf8_bytes

    @cached_property
    def sha256(self) -> str:
        """Hash of the token ids; it identifies text, limit and tokenizer."""
        return hashlib.sha256(np.ascontiguousarray(self.ids, "<u2").data).hexdigest()

    def save(self, path: Path) -> None:
        np.savez(path, ids=self.ids, utf8_bytes=self.utf8_bytes)

    @classmethod
    def load(cls, path: Path) -> "TokenStream":
        with np.load(path, allow_pickle=False) as file:
            return cls(file["ids"], int(file["utf8_bytes"]))


def train_tokenizer(texts: list[str], vocabulary: int) -> "PreTrainedTokenizerFast":
    """Trains a byte-level BPE tokenizer that puts ``<s>`` before every text.

    Byte-level means that every string can be encoded and no token is unknown.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[BEGIN, END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    bpe.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=BEGIN, eos_token=END, pad_token=END)


def prepare(recipe: Recipe, text: Path, folder: Path, *, longest: int | None = None) -> tuple[TokenStream, TokenStream]:
    """Training and held-out token streams of a text. They and the tokenizer are cached in ``folder``.

    Args:
        recipe: gives the vocabulary size, and the length of text that a training needs.
        text: the training text.
        folder: cache folder; used if it was made for the same text, vocabulary and limit.
        longest: largest number of bytes of the text to read; None for all.

    Raises:
        TextError: the text cannot be read, or is too short for the recipe.
    """
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "tokens.lock"):  # one process prepares, others wait
        return _prepare(recipe, text, folder, longest)


def _prepare(recipe: Recipe, text: Path, folder: Path, longest: int | None) -> tuple[TokenStream, TokenStream]:
    key = {
        "text_sha256": _digest(text),
        "vocabulary": recipe.vocabulary,
        "longest": longest,
    }
    made = folder / "tokens.json"
    paths = folder / "train.npz", folder / "held-out.npz"
    if made.exists() and json.loads(made.read_text()) == key:
        return TokenStream.load(paths[0]), TokenStream.load(paths[1])

    texts = list(documents(text, longest=longest))
    if len(texts) == 1:  # plain prose without form feeds: cut into pieces of 4,000 characters
        texts = [texts[0][i : i + 4000] for i in range(0, len(texts[0]), 4000)]
    held_out = texts[::HELD_OUT_EVERY]
    training = [t for i, t in enumerate(texts) if i % HELD_OUT_EVERY]
    tokenizer = train_tokenizer(list(islice(training, 0, None, max(1, len(training) // 2000))), recipe.vocabulary)
    tokenizer.save_pretrained(folder / "tokenizer")
    streams = tuple(_encode(tokenizer, part) for part in (training, held_out))
    if len(streams[0].ids) < 2 * recipe.sequence * recipe.batch:
        raise TextError(
            f"'{text}' gives {len(streams[0].ids):,} tokens to train on; "
            f"the recipe needs at least {2 * recipe.sequence * recipe.batch:,}"
        )
    for stale in (
        made,
        folder / "baselines.json",
    ):  # made for other tokens; tokens.json is written last, as a mark of completeness
        stale.unlink(missing_ok=True)
    for stream, path in zip(streams, paths, strict=True):
        stream.save(path)
    made.write_text(json.dumps(key))
    return streams[0], streams[1]


def _digest(text: Path) -> str:
    try:
        with text.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise TextError(f"no training text at '{text}': give a text file with --text") from None


def _encode(tokenizer: "PreTrainedTokenizerFast", texts: list[str]) -> TokenStream:
    pieces = []
    for start in range(0, len(texts), 256):
        for encoding in tokenizer(texts[start : start + 256], add_special_tokens=False)["input_ids"]:
            pieces.append(np.asarray([*encoding, 1], dtype=np.uint16))
    ids = np.concatenate(pieces) if pieces else np.empty(0, np.uint16)
    return TokenStream(ids, sum(len(t.encode()) for t in texts))
