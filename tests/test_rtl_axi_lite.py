"""The registers' bus with reads and writes at once, and requests before the responses are taken."""

from dataclasses import replace

import numpy as np

from hw.sim.beats import pack, unpack
from hw.sim.bench import Stalls, run
from tests.streams import STALLS, wrapped

COUNT = 200
LATE = Stalls(5, ports={"m_axis_b": 0.8, "m_axis_r": 0.8}, burst=5)
FEW_DATA = Stalls(6, ports={"s_axis_w": 0.8})
FEW_ADDRESSES = Stalls(7, ports={"s_axis_aw": 0.8, "s_axis_ar": 0.8})


def test_every_access_has_its_one_response_in_order() -> None:
    rng = np.random.default_rng(0)
    simulation = wrapped("lite_bench", {})
    writes, reads = 4 * rng.integers(0, 1 << 10, COUNT), 4 * rng.integers(0, 1 << 10, COUNT)
    data = rng.integers(0, 1 << 36, COUNT)
    inputs = {
        "s_axis_aw": pack(writes, 12, 1),
        "s_axis_w": pack(data, 36, 1),
        "s_axis_ar": pack(reads, 12, 1),
    }
    counts = dict.fromkeys(("m_axis_b", "m_axis_r", "m_axis_done"), COUNT)
    for stalls in (*STALLS, LATE, FEW_DATA, FEW_ADDRESSES):
        for reset_at in (None, 100):
            used = replace(stalls, ports={**stalls.ports, "m_axis_done": 0.0})
            result = run(
                "lite_bench",
                {},
                inputs,
                counts,
                stalls=used,
                reset_at=reset_at,
                simulation=simulation,
            )
            assert not result.outputs["m_axis_b"].any()
            found = unpack(result.outputs["m_axis_r"], 34, 1)
            assert np.array_equal(found, 0xABCDE000 | reads)
            done = unpack(result.outputs["m_axis_done"], 48, 1)
            assert np.array_equal(done, writes << 36 | data)
