"""Whole designs in simulation: the integers of the reference under any stalls, cycles, faults."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgebert.tokenizer import Tokenizer
from edgebert.zoo import find, model_file
from hw.design import Connection, Design
from hw.errors import ParameterError
from hw.integer_model import IntegerModel, load_integer_model
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFifo
from hw.reference import float_product, run
from hw.sim import bench
from hw.sim.accelerator import Progress, load_beats, plain_weights, simulate
from hw.sim.bench import SimulationError, Stalls
from hw.sim.pace import ideal_cycles
from hw.sim.usage import AcceleratorResult
from hw.sim.verilator import HERE, Simulation, build
from tests.designs import encoder_design, even_folding
from tests.models import random_integer_model, random_sentences
from tests.streams import STALLS, random_beats

Integers = NDArray[np.int64]
MAX_TOKENS = 8
LENGTHS = [3, 8, 1, 5, 8, 2, 1, 7]


@dataclass(frozen=True)
class Case:
    """A design, and what comes in and must come out of it."""

    design: Design
    inputs: list[Integers]
    expected: list[Integers]


def make_case(
    model: IntegerModel, design: Design, sentences: Sequence[tuple[list[int], list[int]]]
) -> Case:
    values = [run(model, ids, types, float_product) for ids, types in sentences]
    last = f"layer.{model.dimensions.layers - 1}.ffn_norm.residual"
    inputs = [value["embedding.residual"] for value in values]
    return Case(design, inputs, [value[last] for value in values])


def residual_depths(layers: int, depth: int) -> dict[str, dict[str, int]]:
    norms = ("attention_norm", "ffn_norm")
    names = [f"layer{i}_{norm}_residual_fifo" for i in range(layers) for norm in norms]
    return {name: {"depth": depth} for name in names}


@pytest.fixture(scope="module")
def softmax() -> Case:
    """Two layers; a sentence fits into the residual FIFOs, and what is in flight."""
    model = random_integer_model()
    depths = residual_depths(2, 2 * MAX_TOKENS * model.dimensions.hidden)
    design = encoder_design(model, even_folding(model, MAX_TOKENS, 64), MAX_TOKENS, depths)
    return make_case(model, design, random_sentences(1, model, LENGTHS))


@pytest.fixture(scope="module")
def loadable() -> Case:
    """A layer of thresholds on scores, with three matrices in URAM."""
    model = random_integer_model(layers=1, attention="sps", seed=2, relative_positions=3)
    folding = {n: dict(fields) for n, fields in even_folding(model, MAX_TOKENS, 64).items()}
    for name in ("layer0_query", "layer0_up", "layer0_down"):
        folding[name] |= {"loadable": True, "weight_memory": "ultra"}
    depths = residual_depths(1, 2 * MAX_TOKENS * model.dimensions.hidden)
    design = encoder_design(model, folding, MAX_TOKENS, depths)
    return make_case(model, design, random_sentences(1, model, LENGTHS))


def check_case(case: Case, stalls: Stalls | None = None, exact: bool = False) -> AcceleratorResult:
    result = simulate(case.design, case.inputs, stalls=stalls, exact=exact)
    for found, expected in zip(result.residuals, case.expected, strict=True):
        assert np.array_equal(found, expected)
    return result


@pytest.mark.parametrize("stalls", STALLS, ids=lambda s: f"share {s.share}")
@pytest.mark.parametrize("name", ["softmax", "loadable"])
def test_the_encoder_gives_the_integers_of_the_reference(
    name: str, stalls: Stalls, request: pytest.FixtureRequest
) -> None:
    check_case(request.getfixturevalue(name), stalls)


def test_stand_ins_and_monitors_change_no_cycle(softmax: Case) -> None:
    for stalls in STALLS[1:3]:
        fast, exact = check_case(softmax, stalls), check_case(softmax, stalls, exact=True)
        assert fast.cycles == exact.cycles
        for port, times in exact.taken.items():
            assert np.array_equal(fast.taken[port], times)


def test_the_use_of_streams_and_fifos_adds_up(softmax: Case) -> None:
    result, design = check_case(softmax), softmax.design
    tokens = sum(LENGTHS)
    for connection in design.connections:
        use = result.streams[str(connection.source)]
        width = design.stream(connection.source)
        if connection.source.port in ("m_axis_residual", "m_axis_bits0"):
            assert use.taken == tokens * 32 // width.lanes
        if "length" in str(connection.source):
            assert use.taken == len(LENGTHS)
    for name, fifo in result.fifos.items():
        instance = result.instances[name]
        assert instance.inputs["s_axis"].taken == instance.outputs["m_axis"].taken
        assert fifo.level == 0 < fifo.high_water <= fifo.depth
    for name in ("input_threshold", "layer0_query", "layer1_attention", "layer1_ffn_norm"):
        busy = result.instances[name].busy
        assert busy is not None and 0 < busy <= 1
    assert result.instances["layer0_query_in_fifo"].busy is None
    assert result.instances["length_fork"].outputs["m_axis[1]"].taken == len(LENGTHS)


def test_latency_and_pace(softmax: Case) -> None:
    result = check_case(softmax)
    latencies = result.latencies()
    assert len(latencies) == len(LENGTHS) and latencies[0] < latencies[1]
    port = result.taken["m_axis_residual"]
    assert latencies[0] == port[3 * 32 - 1] - result.taken["s_axis_residual"][0] + 1
    even = [softmax.inputs[1]] * 9
    steady = simulate(softmax.design, even).cycles_per_token(skip=3)
    _, ideal = ideal_cycles(softmax.design, [MAX_TOKENS] * 6)
    assert steady == pytest.approx(ideal / (6 * MAX_TOKENS), rel=0.05)
    with pytest.raises(ParameterError, match="skip: expected 1 to 7 of the sentences, got 8"):
        result.cycles_per_token(skip=8)


def test_a_token_is_not_offered_before_it_arrives(softmax: Case) -> None:
    arrivals = 1000 + 200 * np.arange(sum(LENGTHS))
    result = simulate(softmax.design, softmax.inputs, arrivals=arrivals)
    first = result.taken["s_axis_residual"].reshape(-1, 32)[:, 0]
    assert np.array_equal(first, arrivals)


def test_progress_is_told(softmax: Case) -> None:
    told: list[Progress] = []
    simulate(softmax.design, softmax.inputs * 12, progress=told.append)
    assert told[0] == Progress(0, 0, 12 * sum(LENGTHS))
    assert told[-1].cycle > 0 and 0 < told[-1].tokens < told[-1].total


def test_a_fifo_too_shallow_stops_the_design_and_is_named(softmax: Case) -> None:
    name = "layer1_attention_norm_residual_fifo"
    width = softmax.design.fifos()[name].width
    shallow = softmax.design.with_kernels({name: StreamFifo(width, 40)})
    with pytest.raises(SimulationError) as caught:
        simulate(shallow, softmax.inputs)
    message = str(caught.value)
    assert message.startswith("encoder stands still at cycle ") and "\n" not in message
    assert f"{name} (40 of 40)" in message
    assert "; empty and waited for: layer1_" in message


def swapped(design: Design, first: str, second: str) -> Design:
    """The design with the sources of two instances' inputs exchanged."""
    sources = {c.target.instance: c.source for c in design.connections}
    other = {first: sources[second], second: sources[first]}
    return replace(
        design,
        connections=tuple(
            Connection(other.get(c.target.instance, c.source), c.target) for c in design.connections
        ),
    )


def test_swapped_streams_are_seen(loadable: Case) -> None:
    fault = swapped(loadable.design, "layer0_attention_query_fifo", "layer0_attention_key_fifo")
    result = simulate(fault, loadable.inputs)
    assert not all(map(np.array_equal, result.residuals, loadable.expected))


def test_a_wrong_memory_is_seen_without_compiling_again(softmax: Case) -> None:
    text = softmax.design.memories["layer1_up.hex"].splitlines()
    wrong = {**softmax.design.memories, "layer1_up.hex": "\n".join(text[::-1]) + "\n"}
    result = simulate(replace(softmax.design, memories=wrong), softmax.inputs)
    assert not all(map(np.array_equal, result.residuals, softmax.expected))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((9, 32), r"expected 1 to 8 tokens \(max_tokens\), got 9"),
        ((0, 32), r"expected 1 to 8 tokens \(max_tokens\), got 0"),
        ((32,), r"expected \(tokens, 32\), got \(32,\)"),
    ],
)
def test_sentences_that_do_not_fit_are_refused(
    softmax: Case, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        simulate(softmax.design, [np.zeros(shape, dtype=np.int64)])
    with pytest.raises(ParameterError, match="expected at least one, got none"):
        simulate(softmax.design, [])


def test_plain_weights_are_the_weights() -> None:
    rng = np.random.default_rng(0)
    weight = 2 * rng.integers(0, 2, (6, 20)) - 1
    kernel = BinaryMvu(mw=20, mh=6, pe=3, simd=10, raw=True, load_bits=24)
    text = plain_weights(kernel, kernel.memories(weight)[kernel.weight_file])
    words = [int(line, 16) for line in text.split()]
    bits = np.array([[word >> i & 1 for i in range(30)] for word in words])
    folds = np.roll(bits.reshape(2, 2, 3, 10), -1, axis=0)  # the last neuron fold comes first
    assert np.array_equal(folds.transpose(0, 2, 1, 3).reshape(6, 20), weight > 0)


def test_the_chain_brings_each_matrix_its_weights(loadable: Case) -> None:
    beats = load_beats(loadable.design, plain=False)
    names = ("layer0_query", "layer0_up", "layer0_down")
    lines = "".join(loadable.design.memories[f"{name}.load.hex"] for name in names).split()
    assert [bytes(beat[::-1]).hex() for beat in beats] == lines


@pytest.fixture(scope="module")
def simulated_fifo() -> Simulation:
    return build("simulated_fifo", {"WIDTH": 9, "CAPACITY": 32}, folder=HERE)


@pytest.mark.parametrize("depth", [1, 2, 3, 22])
def test_the_simulated_fifo_is_the_fifo_in_every_cycle(
    simulated_fifo: Simulation, depth: int
) -> None:
    beats = random_beats(depth, 40 + 6 * depth, 9)
    inputs, counts = {"s_axis": beats}, {"m_axis": len(beats)}
    part = StreamFifo(9, depth)
    for stalls in (*STALLS, Stalls(5, ports={"m_axis": 0.8}, burst=4)):
        for reset_at in (None, 30 + 2 * depth):
            options = {"stalls": stalls, "reset_at": reset_at}
            real = bench.run("stream_fifo", part.parameters(), inputs, counts, **options)
            found = bench.run(
                "simulated_fifo",
                {},
                inputs,
                counts,
                simulation=simulated_fifo,
                constants={"depth": depth},
                **options,
            )
            assert np.array_equal(found.outputs["m_axis"], beats)
            for port, times in real.taken.items():
                assert np.array_equal(found.taken[port], times)


TEXTS = (
    "Yes.",
    "The acting is wooden and the plot has holes that a bus could drive through.",
    "A quiet, patient film about two sisters; it earns every tear.",
    "Too long by half, yet I would not have missed the last ten minutes for anything in the world, "
    "because they made me forgive the director for the two hours of noise that came before.",
)


def trained_case(tmp_path: Path, texts: Sequence[str], max_tokens: int = 64) -> Case:
    """The zoo's tiny model at 128 cycles a token."""
    model = load_integer_model(model_file(find("tiny-sst2")))
    vocab = tmp_path / "vocab.txt"
    vocab.write_bytes(model.attachments["vocab.txt"])
    tokenizer = Tokenizer(vocab.read_text(encoding="utf-8").splitlines(), max_tokens)
    encoded = tokenizer.encode_batch([(text, None) for text in texts])
    depths = residual_depths(2, 2 * max_tokens * model.dimensions.hidden)
    design = encoder_design(model, even_folding(model, max_tokens, 128), max_tokens, depths)
    return make_case(model, design, [(e.input_ids, e.token_type_ids) for e in encoded])


@pytest.mark.slow
def test_a_trained_model_on_real_sentences(tmp_path: Path) -> None:
    case = trained_case(tmp_path, TEXTS)
    check_case(case)
    check_case(case, Stalls(seed=5, share=0.3, burst=3))


@pytest.mark.slow
def test_a_waveform_is_written(softmax: Case, tmp_path: Path) -> None:
    result = simulate(softmax.design, softmax.inputs[:2], trace=tmp_path / "a.fst")
    assert np.array_equal(result.residuals[1], softmax.expected[1])
    data, kinds, at = (tmp_path / "a.fst").read_bytes(), [], 0
    while at < len(data):  # a block is a byte for its kind, its length, its content
        kinds.append(data[at])
        at += 1 + int.from_bytes(data[at + 1 : at + 9], "big")
    assert at == len(data)
    assert set(kinds) >= {0, 3, 6, 8}  # header, geometry, hierarchy (LZ4), changes
