"""The fused operators of fast.onnx: that they run, and where there are none."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from export import fast_ops
from export.onnx_fast import build_fast
from export.sessions import OrtSession, pad
from hw import compiled, reference
from hw.integer_model import IntegerModel
from tests.models import random_integer_model, random_sentences
from tests.onnx_inputs import session

needs_compiler = pytest.mark.skipif(compiled.compiler() is None, reason="no C++ compiler")


def kernels_run(model: IntegerModel, tmp_path: Path) -> list[str]:
    """Operators of the nodes that ONNX Runtime computes, in a session that has the library."""
    graph, options = build_fast(model), onnxruntime.SessionOptions()
    assert fast_ops.use_fast_ops(graph, options)
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    engine = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    engine.run(None, pad(random_sentences(1, model, [5, 3]), 5))
    events = json.loads(Path(engine.end_profiling()).read_text(encoding="utf-8"))
    nodes = [event for event in events if event["name"].endswith("_kernel_time")]
    return [event["args"]["op_name"] for event in nodes]


@needs_compiler
@pytest.mark.parametrize("relative_positions", [0, 3])
@pytest.mark.parametrize(
    ("attention", "operator"), [("softmax", "SelfAttention"), ("sps", "PolarizedSelfAttention")]
)
def test_onnx_runtime_computes_nothing_but_the_operators(
    attention: str, operator: str, relative_positions: int, tmp_path: Path
) -> None:
    model = random_integer_model(
        1, layers=2, attention=attention, relative_positions=relative_positions
    )
    operator = f"Relative{operator}" if relative_positions else operator
    expected = ["Embedding", *2 * [operator, "FeedForward"], "Classifier"]
    assert kernels_run(model, tmp_path) == expected


@needs_compiler
@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden": 192, "heads": 2, "ffn": 70},  # heads of 96: more than a word
        {"hidden": 120, "heads": 3, "ffn": 130},  # heads of 40: across words
        {"hidden": 16, "heads": 2, "ffn": 8, "max_tokens": 140, "tokens": 131},  # keys of 3 words
    ],
)
@pytest.mark.parametrize("attention", ["softmax", "sps"])
@pytest.mark.parametrize("relative_positions", [0, 3, 15])
def test_bits_across_words_equal_the_reference(
    sizes: dict[str, int], relative_positions: int, attention: str
) -> None:
    shape = {name: value for name, value in sizes.items() if name != "tokens"}
    model = random_integer_model(
        2, attention=attention, layers=1, relative_positions=relative_positions, **shape
    )
    longest = sizes.get("tokens", 16)
    sentences = random_sentences(3, model, [longest, 1, longest - 3, longest // 2])
    expected = [reference.logits(model, *sentence) for sentence in sentences]
    for threads in (1, 3):
        found = OrtSession(build_fast(model), threads, batch=2).logits(sentences)
        np.testing.assert_array_equal(found, np.stack(expected))


@needs_compiler
@pytest.mark.parametrize("processor", [(), ("-mavx2", "-mpopcnt")])
@pytest.mark.parametrize("attention", ["softmax", "sps"])
def test_other_processors_compute_the_same(
    processor: tuple[str, ...], attention: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "-mavx2" in processor and "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("no AVX2")
    monkeypatch.setattr(fast_ops, "CHOICES", (processor,))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fast_ops.fast_ops_library.cache_clear()
    try:
        for relative_positions in (0, 5):
            model = random_integer_model(
                10,
                attention=attention,
                hidden=80,
                heads=2,
                ffn=2100,
                relative_positions=relative_positions,
            )
            sentences = random_sentences(11, model, [16, 1, 7])
            expected = [reference.logits(model, *sentence) for sentence in sentences]
            found = OrtSession(build_fast(model)).logits(sentences)
            np.testing.assert_array_equal(found, np.stack(expected))
        assert len(list(tmp_path.glob("edgebert/fast-ops-*.so"))) == 1
    finally:
        fast_ops.fast_ops_library.cache_clear()


@needs_compiler
def test_sums_beyond_int32_are_left_to_the_function(tmp_path: Path) -> None:
    model = random_integer_model(4, layers=1)
    model["embedding.position"][:] = 1 << 31
    assert "Embedding" not in kernels_run(model, tmp_path)
    sentence = random_sentences(5, model, [4])[0]
    found = OrtSession(build_fast(model)).logits([sentence])[0]
    np.testing.assert_array_equal(found, reference.logits(model, *sentence))


@needs_compiler
@pytest.mark.parametrize("name", ["input_ids", "token_type_ids"])
def test_an_index_without_a_row_is_an_error_as_without_the_operators(name: str) -> None:
    model = random_integer_model(6, layers=1)
    graph, inputs = build_fast(model), pad([([3, 4], [0, 0])], 2)
    inputs[name][0, 1] = 1000
    options = onnxruntime.SessionOptions()
    assert fast_ops.use_fast_ops(graph, options)
    fused = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    for engine in (fused, session(graph)):
        with pytest.raises(Exception, match=r"out of (data )?bounds"):
            engine.run(None, inputs)


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(compiled, "COMPILERS", ("no-such-compiler",))
    fast_ops.fast_ops_library.cache_clear()
    yield
    fast_ops.fast_ops_library.cache_clear()


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_the_functions_compute() -> None:
    model = random_integer_model(7, layers=1)
    assert not fast_ops.use_fast_ops(build_fast(model), onnxruntime.SessionOptions())
    sentences = random_sentences(8, model, [7, 2])
    expected = np.stack([reference.logits(model, *sentence) for sentence in sentences])
    np.testing.assert_array_equal(OrtSession(build_fast(model), 2).logits(sentences), expected)


def test_a_graph_without_them_is_left_alone() -> None:
    from export.onnx_model import build_model

    graph = build_model(random_integer_model(9, layers=1))
    assert not fast_ops.use_fast_ops(graph, onnxruntime.SessionOptions())
