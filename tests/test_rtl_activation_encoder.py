"""activation_encoder: the parity code of hw.kernels.popcount, in combinational logic."""

from pathlib import Path

import numpy as np
import pytest

from hw.kernels.popcount import encode
from hw.sim import bench
from hw.sim.verilator import build, lint
from hw.synth.yosys import synthesize

BENCH = Path(__file__).parent / "rtl" / "encoder_bench.sv"


def check(n: int) -> None:
    rng = np.random.default_rng(n)
    bits = np.concatenate([rng.integers(0, 2, (300, n)), np.zeros((1, n)), np.ones((1, n))])
    one_hot = np.eye(n)
    bits = np.concatenate([bits, one_hot, 1 - one_hot]).astype(np.uint8)
    result = bench.run(
        "encoder_bench",
        {},
        {"s_axis": np.packbits(bits, axis=1, bitorder="little")},
        {"m_axis": len(bits)},
        simulation=build("encoder_bench", {"N": n}, extra=[BENCH]),
    )
    got = np.unpackbits(result.outputs["m_axis"], axis=1, bitorder="little", count=n)
    assert (got == encode(bits)).all()


@pytest.mark.parametrize("n", [1, 5, 31, 64])
def test_code_is_that_of_the_python_model(n: int) -> None:
    check(n)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 4, 6, 7, 8, 9, 16, 17, 48, 96, 128, 255, 256, 384])
def test_code_is_that_of_the_python_model_at_more_sizes(n: int) -> None:
    check(n)


@pytest.mark.parametrize("n", [1, 4, 6, 64, 96])
def test_lint_is_clean(n: int) -> None:
    assert lint("activation_encoder", {"N": n}) == ""


@pytest.mark.slow
@pytest.mark.parametrize("family", ["xc7", "xcup"])
def test_four_bits_take_one_lut(family: str) -> None:
    assert synthesize("activation_encoder", {"N": 64}, family).lut == 15
