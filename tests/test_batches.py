import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebert.batches import (
    EncodedSplit,
    bucketed_batches,
    collate,
    encode_split,
    sequential_batches,
    shard_batches,
)
from edgebert.data import Example
from edgebert.tasks import load_task
from edgebert.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load_minilm(max_tokens=32)


@pytest.fixture(scope="module")
def split(tokenizer: Tokenizer) -> EncodedSplit:
    return encode_split(tokenizer, load_task("reviews").train)


def test_encoded_split_holds_every_example(tokenizer: Tokenizer, split: EncodedSplit) -> None:
    examples = load_task("reviews").train
    assert len(split) == len(examples) == len(split.lengths)
    assert split.labels is not None and split.labels.dtype == np.int64
    truncated = 0
    for i, example in enumerate(examples[:300]):
        encoding = tokenizer.encode(example.text)
        truncated += encoding.truncated
        assert split.ids[split.offsets[i] : split.offsets[i + 1]].tolist() == encoding.input_ids
        assert split.labels[i] == example.label
    assert 0 < truncated < split.truncated


def test_collate_pads_to_the_longest_of_the_batch(tokenizer: Tokenizer) -> None:
    examples = [Example("", None, 0.5), Example("hello", "hi there", 1), Example("x", None, 2)]
    split = encode_split(tokenizer, examples)
    batch = collate(split, [1, 0])
    assert batch["input_ids"].tolist() == [
        [101, 7592, 102, 7632, 2045, 102],
        [101, 102, 0, 0, 0, 0],
    ]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1], [0] * 6]
    assert batch["attention_mask"].tolist() == [[1] * 6, [1, 1, 0, 0, 0, 0]]
    assert batch["labels"].tolist() == [1.0, 0.5] and batch["labels"].dtype == np.float32
    assert batch["input_ids"].dtype == batch["attention_mask"].dtype == np.int64
    assert collate(split, [0])["input_ids"].shape == (1, 2)


def test_padding_id_is_the_tokenizer_s() -> None:
    split = encode_split(
        Tokenizer(["a", "[UNK]", "[CLS]", "[SEP]", "[PAD]"]), [Example("a"), Example("")]
    )
    batch = collate(split, [1, 0])
    assert batch["input_ids"].tolist() == [[2, 3, 4], [2, 0, 3]]
    assert "labels" not in batch


def test_labels_are_on_all_examples_or_none(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="a label on all 2 examples, got 1"):
        encode_split(tokenizer, [Example("a", None, 1), Example("b")])


lengths = st.lists(st.integers(2, 128), max_size=400)


@given(lengths, st.integers(1, 9), st.integers(0, 3), st.integers(0, 3))
def test_every_example_is_in_one_batch(
    lengths: list[int], size: int, seed: int, epoch: int
) -> None:
    for batches in (
        bucketed_batches(lengths, size, seed, epoch),
        sequential_batches(lengths, size),
    ):
        assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
        assert sum(len(batch) != size for batch in batches) <= 1


def test_batches_follow_from_seed_and_epoch(split: EncodedSplit) -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in bucketed_batches(split.lengths, 32, seed, epoch)]

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_buckets_save_padding(split: EncodedSplit) -> None:
    def padded(batches: list[np.ndarray]) -> int:
        return sum(len(batch) * int(split.lengths[batch].max()) for batch in batches)

    tokens = int(split.lengths.sum())
    shuffled = np.array_split(np.random.default_rng(0).permutation(len(split)), len(split) // 32)
    assert padded(bucketed_batches(split.lengths, 32, 0, 0)) < 1.05 * tokens
    assert padded(shuffled) > 1.2 * tokens


def test_evaluation_batches_grow_in_length(split: EncodedSplit) -> None:
    seen = split.lengths[np.concatenate(sequential_batches(split.lengths, 64))]
    assert (np.diff(seen) >= 0).all()


@given(lengths.filter(len), st.integers(1, 9), st.integers(1, 5))
def test_shards_are_equal_and_cover_the_batch(lengths: list[int], size: int, world: int) -> None:
    batches = bucketed_batches(lengths, size, 0, 0)
    shards = [shard_batches(batches, world, rank) for rank in range(world)]
    for batch, *parts in zip(batches, *shards, strict=True):
        assert len({len(part) for part in parts}) == 1
        assert set(np.concatenate(parts)) == set(batch)
        if len(batch) % world == 0:
            assert sorted(np.concatenate(parts)) == sorted(batch)
    if world == 1:
        assert all((a == b).all() for a, b in zip(shards[0], batches, strict=True))


def test_wrong_rank_and_size_are_refused() -> None:
    with pytest.raises(ValueError, match="a rank from 0 to 1, got 2"):
        shard_batches([], 2, 2)
    with pytest.raises(ValueError, match="a batch size of at least 1, got 0"):
        sequential_batches([1, 2], 0)
