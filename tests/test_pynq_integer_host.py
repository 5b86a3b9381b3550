"""The board's host part equals the reference with `==`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgebert import zoo
from export.package import host_tables, narrowed
from hw.integer_model import IntegerModel, load_integer_model
from hw.pynq.edgebert_board import integer_host
from hw.pynq.edgebert_board.errors import BoardError
from hw.pynq.edgebert_board.integer_host import IntegerHost, Sizes, bit_length, round_shift
from hw.reference import bit_length as reference_bit_length
from hw.reference import round_shift as reference_round_shift
from hw.reference import run_embedding, run_head
from tests.models import random_integer_model, random_sentences

FORMATS = [
    {},
    {"norm_fraction_bits": 30, "rsqrt_index_bits": 4},
    {"norm_fraction_bits": 8, "gamma_fraction_bits": 3, "rsqrt_index_bits": 16},
    {"fraction_bits": 6, "word_bits": 12, "norm_fraction_bits": 24},
    {"fraction_bits": 14, "word_bits": 20, "norm_fraction_bits": 2, "gamma_fraction_bits": 2},
]


def sizes_of(model: IntegerModel) -> Sizes:
    d, f = model.dimensions, model.formats
    return Sizes(
        hidden=d.hidden,
        max_tokens=d.max_tokens,
        positions=d.max_tokens,
        vocab=d.vocab,
        token_types=d.token_types,
        outputs=len(model["classifier.bias"]),
        fraction_bits=f.fraction_bits,
        word_bits=f.word_bits,
        classifier_fraction_bits=f.classifier_fraction_bits,
        rsqrt_index_bits=f.rsqrt_index_bits,
        norm_fraction_bits=f.norm_fraction_bits,
        gamma_fraction_bits=f.gamma_fraction_bits,
    )


def tables_of(model: IntegerModel) -> dict[str, np.ndarray]:
    return {name: narrowed(table) for name, table in host_tables(model).items()}


def models() -> Iterator[IntegerModel]:
    for name in zoo.read_index():
        yield load_integer_model(zoo.FOLDER / f"{name}.safetensors")
    for seed, formats in enumerate(FORMATS):
        hidden = (32, 24, 7, 33, 16)[seed]
        labels = 1 + seed % 3
        yield random_integer_model(seed, 1, hidden, 1, arithmetic=formats, labels=labels)


@pytest.fixture(scope="module", params=list(models()), ids=lambda m: f"H{m.dimensions.hidden}")
def model(request: pytest.FixtureRequest) -> IntegerModel:
    return request.param


@pytest.mark.parametrize("cells", [1, 500, 1 << 18])
def test_embedding_equals_the_reference(
    model: IntegerModel, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr(integer_host, "CHUNK_CELLS", cells)
    longest = model.dimensions.max_tokens
    lengths = [1, longest, 2, longest // 2, 1, 3]
    sentences = random_sentences(1, model, lengths)
    host = IntegerHost(sizes_of(model), tables_of(model))
    ids, types = (np.concatenate([s[i] for s in sentences]) for i in (0, 1))
    got = host.embed(ids, types, np.array(lengths))
    expected = [run_embedding(model, *sentence) for sentence in sentences]
    assert np.array_equal(got, np.concatenate([v["embedding.residual"] for v in expected]))
    places = np.concatenate([np.arange(n) for n in lengths])
    total = host.embedding_sum(ids, types, places)
    assert np.array_equal(total, np.concatenate([v["embedding.sum"] for v in expected]))


def test_head_equals_the_reference(model: IntegerModel) -> None:
    half = 1 << (model.formats.word_bits - 1)
    rng = np.random.default_rng(0)
    residual = rng.integers(-half, half, (40, model.dimensions.hidden))
    residual[0], residual[1] = half - 1, -half
    residual[2] = model["pooler.input_threshold"].clip(-half, half - 1)
    got = IntegerHost(sizes_of(model), tables_of(model)).head(residual)
    for number in range(len(residual)):
        expected = run_head(model, residual[number : number + 1])
        assert list(got) == list(expected)
        for name, value in expected.items():
            assert np.array_equal(got[name][number], value), name
            assert got[name].dtype == np.int64


def test_equal_channels_normalize_to_beta() -> None:
    """A variance of 0."""
    model = random_integer_model()
    tensors = {name: t.copy() for name, t in model.tensors.items()}
    for name in ("word.scale", "position", "token_type"):
        tensors[f"embedding.{name}"][:] = 3 if name == "position" else 0
    model = IntegerModel(model.config, tensors)
    host = IntegerHost(sizes_of(model), tables_of(model))
    got = host.embed(np.array([4, 5]), np.array([0, 1]), np.array([2]))
    assert np.array_equal(got, run_embedding(model, [4, 5], [0, 1])["embedding.residual"])


@pytest.mark.parametrize("index_bits", [4, 10, 16])
def test_small_variances_equal_the_reference(index_bits: int) -> None:
    """Below the table's octaves, so that the mantissa is shifted up."""
    model = random_integer_model(arithmetic={"rsqrt_index_bits": index_bits})
    tensors = {name: t.copy() for name, t in model.tensors.items()}
    tensors["embedding.word.scale"][:] = np.arange(50) % 4
    for name in ("embedding.position", "embedding.token_type"):
        tensors[name][:] = 0
    model = IntegerModel(model.config, tensors)
    host = IntegerHost(sizes_of(model), tables_of(model))
    ids, types = np.arange(4, 16), np.zeros(12, int)
    got = host.embed(ids, types, np.array([12]))
    assert np.array_equal(got, run_embedding(model, ids, types)["embedding.residual"])


def test_helpers_equal_the_reference() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([2 ** np.arange(63), 2 ** np.arange(1, 63) - 1, [0, (1 << 63) - 1]])
    assert np.array_equal(bit_length(x), reference_bit_length(x))
    a = rng.integers(-(1 << 40), 1 << 40, (200, 3))
    for n in (rng.integers(-10, 50, (200, 1)), 0, 7, -3):
        assert np.array_equal(round_shift(a, n), reference_round_shift(a, n))


def test_tables_that_do_not_fit_are_refused() -> None:
    model = random_integer_model()
    sizes, tables = sizes_of(model), tables_of(model)
    for name, wrong, message in (
        ("rsqrt_table", None, "expected rsqrt_table of shape .*, got none"),
        ("classifier.bias", np.zeros(3, np.int8), "classifier.bias of shape"),
        ("pooler.weight", tables["pooler.weight"].view(np.int8), "expected packed bits"),
        ("pooler.bias", np.zeros(32, np.float32), "expected integers up to"),
        ("embedding.norm.gamma", np.full(32, 1 << 40), "expected integers up to"),
        ("pooler.shift", np.array(-1), "expected 0 to 30"),
        ("pooler.shift", np.array(31), "integers up to 30"),
    ):
        changed = {n: t for n, t in {**tables, name: wrong}.items() if t is not None}
        with pytest.raises(BoardError, match=message):
            IntegerHost(sizes, changed)


def test_872_sentences_take_less_than_a_second_here() -> None:
    """So they take some seconds on a board; about 0.2 s on a desktop processor."""
    import time

    model = load_integer_model(Path(zoo.FOLDER) / "tiny-sst2.safetensors")
    host = IntegerHost(sizes_of(model), tables_of(model))
    lengths = np.full(872, 25)
    ids = np.random.default_rng(0).integers(0, 30522, lengths.sum())
    begin = time.process_time()
    residual = host.embed(ids, np.zeros_like(ids), lengths)
    host.head(residual[::25])
    assert time.process_time() - begin < 1.0
