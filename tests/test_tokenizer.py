import hashlib
import itertools
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from edgebert.data import TaskData
from edgebert.errors import UserError
from edgebert.tasks import load_task
from edgebert.tokenizer import SPECIAL, Encoding, Tokenizer, minilm_folder

ODD = [
    ("", None),
    ("", ""),
    ("😀 good 🎬", None),
    ("Ünïcödé naïve CAFÉ", "ﬁne  spacing\t\n"),
    ("東京 tower", None),
    ("a [SEP] b [MASK] [CLS]", "[UNK]"),
    ("x" * 101, None),
    ("nul\x00and \u200bzero", "don't-stop..."),
    ("long " * 200, "short"),
    ("short", "long " * 200),
    ("long " * 200, "long " * 150),
]


@pytest.fixture(scope="module")
def reviews() -> TaskData:
    return load_task("reviews")


@pytest.fixture(scope="module")
def minilm() -> Tokenizer:
    return Tokenizer.load_minilm()


def test_minilm_equals_transformers(minilm: Tokenizer, reviews: TaskData) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import BertTokenizerFast

        other = BertTokenizerFast.from_pretrained(str(minilm_folder()))
    texts = [example.text for example in reviews.dev[:400]]
    pairs = [*ODD, *((text, None) for text in texts), *itertools.pairwise(texts)]
    for (text, text_b), got in zip(pairs, minilm.encode_batch(pairs), strict=True):
        # As lists: transformers drops an empty second text that comes alone.
        seconds = None if text_b is None else [text_b]
        expected = other([text], seconds, truncation=True, max_length=128)
        assert got.input_ids == expected["input_ids"][0], (text, text_b)
        assert got.token_type_ids == expected["token_type_ids"][0], (text, text_b)


def test_minilm_has_bert_s_ids(minilm: Tokenizer) -> None:
    assert len(minilm.vocab) == 30522
    assert (minilm.pad_id, minilm.unk_id, minilm.cls_id, minilm.sep_id) == (0, 100, 101, 102)
    assert minilm.encode("") == Encoding([101, 102], [0, 0], False)
    assert minilm.encode("Hello World", "hi") == Encoding(
        [101, 7592, 2088, 102, 7632, 102], [0, 0, 0, 0, 1, 1], False
    )
    assert minilm.encode("😀").input_ids == [101, 100, 102]


def test_the_longer_text_is_truncated_first() -> None:
    vocab = [*SPECIAL, "a", "b"]
    tokenizer = Tokenizer.from_vocab(vocab, max_tokens=8)
    a, b = vocab.index("a"), vocab.index("b")
    assert tokenizer.encode("a a a a a a").truncated is False
    assert tokenizer.encode("a a a a a a a") == Encoding([2, *[a] * 6, 3], [0] * 8, True)
    assert tokenizer.encode("a a a a a a", "b") == Encoding(
        [2, a, a, a, a, 3, b, 3], [0, 0, 0, 0, 0, 0, 1, 1], True
    )
    assert tokenizer.encode("a a a", "b b").truncated is False


def test_batches_equal_single_encodings(minilm: Tokenizer) -> None:
    assert minilm.encode_batch(ODD) == [minilm.encode(*pair) for pair in ODD]


def test_saved_tokenizer_loads_again(tmp_path: Path, reviews: TaskData) -> None:
    texts = [example.text for example in reviews.dev]
    tokenizer = Tokenizer.train(texts, 800, max_tokens=24)
    tokenizer.save(tmp_path / "a" / "b")
    again = Tokenizer.load(tmp_path / "a" / "b")
    assert (again.vocab, again.max_tokens) == (tokenizer.vocab, 24)
    assert Tokenizer.load(tmp_path / "a" / "b", max_tokens=64).max_tokens == 64
    pairs = [(text, None) for text in texts[:50]]
    assert again.encode_batch(pairs) == tokenizer.encode_batch(pairs)


TRAIN = """
import hashlib
from edgebert.tasks import load_task
from edgebert.tokenizer import Tokenizer
texts = [example.text for example in load_task("reviews").dev]
vocab = Tokenizer.train(texts, 2000).vocab
print(hashlib.sha256("\\n".join(vocab).encode()).hexdigest())
"""


def test_trained_vocabulary_depends_on_the_text_alone(reviews: TaskData) -> None:
    texts = [example.text for example in reviews.dev]
    vocab = Tokenizer.train(texts, 2000).vocab
    assert len(vocab) == 2000 and vocab[:5] == SPECIAL
    assert Tokenizer.train(iter(texts), 2000).vocab == vocab
    digest = hashlib.sha256("\n".join(vocab).encode()).hexdigest()
    for _ in range(2):  # another process has another hash seed
        run = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, check=True)
        assert run.stdout.decode().strip() == digest


def test_trained_vocabulary_knows_its_own_text(reviews: TaskData) -> None:
    texts = [example.text for example in reviews.dev]
    tokenizer = Tokenizer.train(texts, 2000)
    encoded = tokenizer.encode_batch([(text, None) for text in texts])
    assert not any(tokenizer.unk_id in e.input_ids for e in encoded)


def test_wrong_vocabularies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"got no \[SEP\]"):
        Tokenizer(["[PAD]", "[UNK]", "[CLS]", "a"])
    with pytest.raises(UserError, match="every token once, got 'a' again"):
        Tokenizer([*SPECIAL, "a", "a"])
    with pytest.raises(UserError, match="max_tokens: expected at least 4"):
        Tokenizer(SPECIAL, max_tokens=3)
    with pytest.raises(UserError, match="vocabulary size: expected at least"):
        Tokenizer.train(["abc"], 6)
    with pytest.raises(UserError, match=r"vocab\.txt: expected a readable file"):
        Tokenizer.load(tmp_path)
    Tokenizer(SPECIAL).save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{,}")
    with pytest.raises(UserError, match=r"tokenizer_config\.json:1: expected JSON"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    with pytest.raises(UserError, match="expected an uncased tokenizer"):
        Tokenizer.load(tmp_path)
