"""A processor's AXI3 port before the registers' bus."""

from dataclasses import replace

import numpy as np

from hw.sim.beats import pack, unpack
from hw.sim.bench import run
from hw.sim.verilator import lint
from tests.streams import STALLS, wrapped

IDS = 1 << 6


def test_every_beat_of_a_burst_is_an_access_and_the_answer_has_its_id() -> None:
    rng = np.random.default_rng(0)
    simulation = wrapped("axi3_bench", {})
    count = 30
    length, fixed = rng.integers(0, 16, count), rng.integers(0, 2, count)
    length[0], length[1] = 0, 15
    start, ids = 4 * rng.integers(0, 1 << 10, count), rng.integers(0, IDS, count)
    request = (1 - fixed) << 22 | length << 18 | ids << 12 | start
    beats = [(i, n) for i in range(count) for n in range(length[i] + 1)]
    address = np.array([(start[i] + 4 * n * (1 - fixed[i])) % 4096 for i, n in beats])
    data = rng.integers(0, 1 << 36, len(beats))
    reads = [
        int(n == length[i]) << 40 | int(ids[i]) << 32 | 0xABCDE000 | int(a)
        for (i, n), a in zip(beats, address, strict=True)
    ]
    inputs = {
        "s_axis_aw": pack(request, 24, 1),
        "s_axis_w": pack(data, 36, 1),
        "s_axis_ar": pack(request, 24, 1),
    }
    counts = {"m_axis_b": count, "m_axis_r": len(beats), "m_axis_done": len(beats)}
    for stalls in STALLS:
        for reset_at in (None, 200):
            used = replace(stalls, ports={"m_axis_done": 0.0})
            result = run(
                "axi3_bench", {}, inputs, counts, stalls=used, reset_at=reset_at,
                simulation=simulation,
            )  # fmt: skip
            assert np.array_equal(unpack(result.outputs["m_axis_b"], 8, 1), ids)
            assert np.array_equal(unpack(result.outputs["m_axis_r"], 41, 1), reads)
            assert np.array_equal(
                unpack(result.outputs["m_axis_done"], 48, 1), address << 36 | data
            )


def test_lint_is_clean() -> None:
    assert lint("axi3_to_lite", {}) == ""
    assert lint("axi3_to_lite", {"ADDRESS_BITS": 32, "ID_BITS": 1}) == ""
