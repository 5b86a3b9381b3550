"""popcount: its cells equal their models; its count and its LUTs are those of the Python model.

Its simulation stands beside that of binary_lane (test_rtl_binary_lane.py), which has the same tree.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from hw.kernels import popcount
from hw.sim import bench
from hw.sim.beats import pack, unpack
from hw.sim.verilator import build, lint
from hw.synth.yosys import CELLS, synthesize

HERE = Path(__file__).parent / "rtl"
BENCH = HERE / "cells_bench.sv"


def outputs(extra: list[Path]) -> np.ndarray:
    result = bench.run(
        "cells_bench",
        {},
        {"s_axis": pack(np.arange(1024), 10, 1)},
        {"m_axis": 1024},
        simulation=build("cells_bench", {}, extra=[*extra, BENCH]),
    )
    return unpack(result.outputs["m_axis"], 19, 1)


def test_vendor_cells_equal_their_models_on_every_input() -> None:
    spec = find_spec("pyosys")
    if spec is None or spec.origin is None:
        pytest.skip("no Yosys: its models of the vendor's cells are needed")
    models = Path(spec.origin).parent / "share" / "xilinx" / "cells_sim.v"
    assert (outputs([]) == outputs([*sorted(CELLS.glob("*.v")), models])).all()


def test_cells_do_what_their_contracts_say() -> None:
    got = outputs([])
    d = (np.arange(1024)[:, None] >> np.arange(10)) & 1
    q = (got[:, None] >> np.arange(19)) & 1
    parity, left, right = (1 - (d[:, i] ^ d[:, i + 3]) for i in range(3))
    assert (q[:, 0] == (left + right + (parity ^ left ^ right) >= 2)).all()
    assert (q[:, 1:3] == (d[:, 0:2] == d[:, 2:4])).all()
    select, data = q[:, 3:5], q[:, 5:7]
    added = select + 2 * (1 - select) * data  # what a position of the chain adds to its carry
    assert (added @ [1, 2] == d[:, :6].sum(1)).all()
    below = d[:, 4]
    rows = d[:, 0] + d[:, 1] + (d[:, 2] | d[:, 3])
    assert (2 * q[:, 8] + q[:, 7] + 2 * (1 - q[:, 7]) * below == rows + below).all()
    assert (q[:, 9] == d[:, :3].sum(1) % 2).all()
    assert (q[:, 10] == d[:, :5].sum(1) % 2).all()
    carry = d[:, 8] | d[:, 9]
    for i in range(4):
        total = carry + d[:, i] + 2 * (1 - d[:, i]) * d[:, 4 + i]
        assert (q[:, 11 + i] == total % 2).all()
        carry = total // 2
        assert (q[:, 15 + i] == carry).all()


@pytest.mark.parametrize("n", [1, 3, 24, 64])
def test_lint_is_clean(n: int) -> None:
    assert lint("popcount", {"N": n}) == ""


@pytest.mark.parametrize("n", [16])
def test_lane_takes_the_luts_that_the_model_says(n: int) -> None:
    check_luts(n, "xc7")


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 7, 64, 96, 256])
@pytest.mark.parametrize("family", ["xc7", "xcup"])
def test_lane_takes_the_luts_that_the_model_says_at_more_sizes(n: int, family: str) -> None:
    check_luts(n, family)


def check_luts(n: int, family: str) -> None:
    """All but the LUT2 of the resets, which the lanes of an MVU share."""
    used = synthesize("binary_lane", {"SIMD": n, "ACC_BITS": 12}, family)
    shared = used.cells.get("LUT2", 0) + used.cells.get("INV", 0)
    assert used.lut - shared == popcount.lane_luts(n, 12)
    assert shared <= popcount.latency(n)
    assert used.lut_memory == used.dsp == used.bram18 == 0


@pytest.mark.slow
@pytest.mark.parametrize("family", ["xc7", "xcup"])
@pytest.mark.parametrize("n", [64, 256])
def test_count_takes_at_most_077_luts_per_bit(n: int, family: str) -> None:
    assert synthesize("popcount", {"N": n}, family).lut <= 0.77 * n
