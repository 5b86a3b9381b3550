"""The board's tokenizer gives what the library `tokenizers` gives, whatever the text."""

import csv
import itertools
import random
from pathlib import Path

import pytest
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from edgebert.tokenizer import SPECIAL
from edgebert.tokenizer import Tokenizer as Library
from hw.pynq.edgebert_board.errors import BoardError
from hw.pynq.edgebert_board.tokenizer import Encoding, Tokenizer, words
from tests.test_tokenizer import ODD

CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ASSIGNED = [c for c in CHARACTERS if ord(c) < 0x20000 or 0x2F800 <= ord(c) < 0x2FA20]
NORMALIZER = BertNormalizer(
    clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
)
PRE_TOKENIZER = BertPreTokenizer()

TEXTS = {
    "CoLA": (3,),
    "MRPC": (3, 4),
    "RTE": (1, 2),
    "SST-2": (0,),
    "STS-B": (7, 8),
    "WNLI": (1, 2),
}


@pytest.fixture(scope="module")
def library() -> Library:
    return Library.load_minilm()


@pytest.fixture(scope="module")
def board(library: Library) -> Tokenizer:
    return Tokenizer(library.vocab, 128)


def library_words(text: str) -> list[str]:
    return [word for word, _ in PRE_TOKENIZER.pre_tokenize_str(NORMALIZER.normalize_str(text))]


def glue_rows(glue: Path, task: str, split: str) -> list[tuple[str, str | None]]:
    path = glue / task / f"{split}.tsv"
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    columns = TEXTS[task]
    return [(row[columns[0]], row[columns[1]] if columns[1:] else None) for row in rows]


def compare(board: Tokenizer, library: Library, rows: list[tuple[str, str | None]]) -> None:
    for row, expected in zip(rows, library.encode_batch(rows), strict=True):
        got = board.encode(*row)
        assert got.input_ids == expected.input_ids, row
        assert got.token_type_ids == expected.token_type_ids, row
        assert got.truncated == expected.truncated, row


@pytest.mark.parametrize("task", TEXTS)
def test_every_glue_dev_sentence_is_equal(
    board: Tokenizer, library: Library, glue: Path, task: str
) -> None:
    compare(board, library, glue_rows(glue, task, "dev"))


def test_a_large_sample_of_glue_is_equal(board: Tokenizer, library: Library, glue: Path) -> None:
    rows = [row for task in TEXTS for row in glue_rows(glue, task, "train")]
    compare(board, library, random.Random(0).sample(rows, 12_000))


@pytest.mark.slow
@pytest.mark.parametrize("max_tokens", [16, 128])
def test_every_glue_sentence_is_equal(library: Library, glue: Path, max_tokens: int) -> None:
    short = Library(library.vocab, max_tokens)
    board = Tokenizer(library.vocab, max_tokens)
    for task in TEXTS:
        compare(board, short, glue_rows(glue, task, "train"))


def test_odd_texts_are_equal(board: Tokenizer, library: Library) -> None:
    texts = [text for row in ODD for text in row if text is not None]
    texts += ["\ufb01n\u00e9 \u03a3\u038f\u03a3 \u0130", "a\u00adb\ue000c\ufffdd", "\u1680x\u3000y"]
    texts += ["[CLS][SEP]", "[cls] [ SEP]", "[MASK]x[PAD]", "\x00", " ", "\u0301", "[UNK][UNK"]
    compare(board, library, ODD)
    compare(board, library, [(text, None) for text in texts])
    compare(board, library, list(itertools.pairwise(texts)))


@pytest.mark.parametrize("around", [" {} ", "a{}b\u0301"])
def test_every_character_is_equal(around: str) -> None:
    step = 1024
    for start in range(0, len(ASSIGNED), step):
        text = "".join(around.format(c) for c in ASSIGNED[start : start + step])
        assert words(text) == library_words(text), f"from U+{ord(ASSIGNED[start]):04X}"


def test_random_characters_are_equal() -> None:
    """Accents of many classes in any order, decompositions, capital letters of every script."""
    rng = random.Random(0)
    pool = [c for c in CHARACTERS if ord(c) < 0x3000 or 0x10000 <= ord(c) < 0x12000]
    for _ in range(4000):
        text = "".join(rng.choices(pool, k=30))
        assert words(text) == library_words(text), ascii(text)


@pytest.mark.parametrize("max_tokens", [4, 5, 8, 13])
def test_truncation_is_equal(max_tokens: int) -> None:
    vocab = [*SPECIAL, "a"]
    board, library = Tokenizer(vocab, max_tokens), Library(vocab, max_tokens)
    lengths = [0, 1, 2, 3, 5, 6, 7, 9, 30]
    rows = [("a " * one, "a " * two) for one in lengths for two in lengths]
    compare(board, library, [*rows, *(("a " * one, None) for one in lengths)])


def test_trained_vocabularies_are_equal() -> None:
    texts = ["Na\u00efve caf\u00e9s, 3.5 stars!", "unflinchingly bleak", "\u6771\u4eac tower"] * 3
    library = Library.train(texts, 120, max_tokens=24)
    rows = [(text, None) for text in [*texts, "bleaker towers of na", "x" * 100, "x" * 101]]
    compare(Tokenizer(library.vocab, 24), library, rows)


def test_a_vocabulary_file_is_read_as_edgebert_reads_it(tmp_path: Path) -> None:
    content = "[PAD]\r\n[UNK]\n[CLS]\n[SEP]\nna\u00efve\n\u2028\n".encode()
    (tmp_path / "vocab.txt").write_bytes(content)
    library = Library.load(tmp_path, 16)
    board = Tokenizer.parse(content, 16)
    assert board.size == len(library.vocab) == 6
    compare(board, library, [("na\u00efve", None)])


def test_what_is_no_text_or_vocabulary_is_refused(board: Tokenizer) -> None:
    with pytest.raises(BoardError, match="half a surrogate pair"):
        board.encode("a\ud800")
    with pytest.raises(BoardError, match=r"got no \[SEP\]"):
        Tokenizer(["[PAD]", "[UNK]", "[CLS]"], 16)
    with pytest.raises(BoardError, match="a token twice"):
        Tokenizer([*SPECIAL, "a", "a"], 16)
    with pytest.raises(BoardError, match="max_tokens: expected at least 4"):
        Tokenizer(SPECIAL, 3)
    with pytest.raises(BoardError, match="expected UTF-8"):
        Tokenizer.parse(b"[PAD]\n\xff", 16)


def test_an_empty_text_has_its_two_tokens(board: Tokenizer) -> None:
    assert board.encode("") == Encoding([101, 102], [0, 0], False)
