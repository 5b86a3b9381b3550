"""Uncased WordPiece, equal to the library `tokenizers`, which boards don't have.

The steps of BERT: special tokens spelled out in the text are those tokens; the rest is cleaned,
its ideographs stand alone, accents go, letters become lower case; it is split at spaces and around
punctuation; each word becomes the longest pieces of the vocabulary, from left to right.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import unicode_tables as tables
from .errors import BoardError

PAD, UNK, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUES = "##"
LONGEST_WORD = 100  # characters; a longer word is unknown
MIN_TOKENS = 4  # [CLS] a [SEP] [SEP]
CACHED_WORDS = 1 << 16

_REMOVED = re.compile(f"[{tables.members(tables.REMOVED)}]")
_SPACES = re.compile(f"[{tables.members(tables.SPACES)}]")
_IDEOGRAPHS = re.compile(f"([{tables.members(tables.IDEOGRAPHS)}])")
_STARTERS = re.compile(f"([{tables.members(tables.STARTERS)}])")
_MARKS = re.compile(f"[{tables.members(tables.MARKS)}]")
_LOWER = tables.lower_table()
_PUNCTUATION = tables.members(tables.PUNCTUATION)
_WORDS = re.compile(f"[{_PUNCTUATION}]|[^ {_PUNCTUATION}]+")


@dataclass(frozen=True)
class Encoding:
    """The tokens of a sentence or pair: [CLS] text [SEP], then text_b [SEP] of type 1."""

    input_ids: list[int]
    token_type_ids: list[int]
    truncated: bool


class Tokenizer:
    """WordPiece over a vocabulary, truncating to max_tokens (the longer text first)."""

    def __init__(self, vocab: Sequence[str], max_tokens: int) -> None:
        """vocab: the tokens in the order of their ids. Raises BoardError if it is unusable."""
        if max_tokens < MIN_TOKENS:
            raise BoardError(f"max_tokens: expected at least {MIN_TOKENS}, got {max_tokens}")
        self._ids = {token: number for number, token in enumerate(vocab)}
        missing = [token for token in SPECIAL[:4] if token not in self._ids]
        if missing or len(self._ids) < len(vocab):
            what = f"no {missing[0]}" if missing else "a token twice"
            raise BoardError(f"vocabulary: expected [PAD], [UNK], [CLS], [SEP], got {what}")
        self.max_tokens = max_tokens
        self.size = len(vocab)
        self.unk_id, self.cls_id, self.sep_id = (self._ids[token] for token in (UNK, CLS, SEP))
        special = [re.escape(token) for token in SPECIAL if token in self._ids]
        self._special = re.compile(f"({'|'.join(special)})")
        self._longest_piece = max(map(len, vocab))
        self._pieces: dict[str, tuple[int, ...]] = {}

    @classmethod
    def parse(cls, vocab_txt: bytes, max_tokens: int) -> "Tokenizer":
        """A tokenizer of the content of vocab.txt: a token a line."""
        try:
            text = vocab_txt.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BoardError(f"vocab.txt: expected UTF-8, got {error.reason}") from None
        lines = text[:-1].split("\n") if text.endswith("\n") else text.split("\n")
        return cls([line[:-1] if line.endswith("\r") else line for line in lines], max_tokens)

    def encode(self, text: str, text_b: str | None = None) -> Encoding:
        """Encode a sentence or a pair. An empty text gives [CLS] [SEP].

        Raises:
            BoardError: the text has half a surrogate pair, so is no Unicode text.
        """
        first = self._tokens(text)
        if text_b is None:
            kept = first[: self.max_tokens - 2]
            ids = [self.cls_id, *kept, self.sep_id]
            return Encoding(ids, [0] * len(ids), len(kept) < len(first))
        second = self._tokens(text_b)
        one, two = _truncated_lengths(len(first), len(second), self.max_tokens - 3)
        ids = [self.cls_id, *first[:one], self.sep_id, *second[:two], self.sep_id]
        types = [0] * (one + 2) + [1] * (two + 1)
        return Encoding(ids, types, one < len(first) or two < len(second))

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = []
        for place, part in enumerate(self._special.split(text)):
            if place % 2:
                ids.append(self._ids[part])
            else:
                for word in words(part):
                    ids.extend(self._word(word))
        return ids

    def _word(self, word: str) -> tuple[int, ...]:
        pieces = self._pieces.get(word)
        if pieces is None:
            if len(self._pieces) >= CACHED_WORDS:
                self._pieces.clear()
            pieces = self._pieces[word] = tuple(self._split(word))
        return pieces

    def _split(self, word: str) -> Iterable[int]:
        if len(word) > LONGEST_WORD:
            return [self.unk_id]
        pieces: list[int] = []
        start, prefix = 0, ""
        while start < len(word):
            longest = min(len(word), start + self._longest_piece)
            for end in range(longest, start, -1):
                piece = self._ids.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return [self.unk_id]
            pieces.append(piece)
            start, prefix = end, CONTINUES
        return pieces


def words(text: str) -> list[str]:
    """The normalized words of a text that has no special tokens."""
    return _WORDS.findall(normalized(text))


def normalized(text: str) -> str:
    """Cleaned, with ideographs apart, without accents, in lower case."""
    text = _SPACES.sub(" ", _REMOVED.sub("", text))
    if text.isascii():
        return text.lower()
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BoardError("text: expected Unicode, got half a surrogate pair") from None
    text = _IDEOGRAPHS.sub(r" \1 ", text)
    parts = _STARTERS.split(text)
    parts[::2] = [unicodedata.normalize("NFD", part) for part in parts[::2]]
    return _MARKS.sub("", "".join(parts)).translate(_LOWER).lower()


def _truncated_lengths(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of each text stay: the longer loses first, equal ones by turns."""
    if first + second <= room:
        return first, second
    short = min(first, second)
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short, long = room // 2, room // 2 + room % 2
    return (short, long) if first <= second else (long, short)
