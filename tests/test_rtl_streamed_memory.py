"""Memories of two banks: one is read while the load bus fills the other."""

from dataclasses import dataclass

import numpy as np
import pytest

from hw.sim.beats import Beats, unpack
from hw.sim.bench import Stalls, run
from hw.sim.verilator import lint
from tests.streams import STALLS, wrapped

INDEX_BITS = 24
LOAD, TURN, READ = range(3)


@dataclass(frozen=True)
class Point:
    """Parameters of tests/rtl/banked_words.sv."""

    width: int
    depth: int
    style: int
    load_bits: int
    base: int

    @property
    def parts(self) -> int:
        return -(-self.width // self.load_bits)

    def parameters(self) -> dict[str, int]:
        return {
            "WIDTH": self.width,
            "DEPTH": self.depth,
            "STYLE": self.style,
            "LOAD_BITS": self.load_bits,
            "LOAD_BASE": self.base,
            "TABLE": int(self.parts == 1),
        }


POINTS = [Point(9, 5, 1, 16, 3), Point(40, 8, 2, 16, 0), Point(7, 1, 3, 7, 100)]
SLOW = [Point(33, 3, 0, 32, 1 << 20), Point(64, 40, 2, 64, 17), Point(1, 2, 1, 8, 0)]
ALL = [*POINTS, *(pytest.param(point, marks=pytest.mark.slow) for point in SLOW)]


def orders(point: Point, images: int, seed: int = 0) -> tuple[Beats, list[int]]:
    """Orders that fill one bank while the other is read, and the words that reads must give."""
    rng = np.random.default_rng(seed)
    found: list[tuple[int, int, int]] = []
    expected: list[int] = []
    present: list[int] = []
    for _ in range(images):
        words = [int.from_bytes(rng.bytes(16), "little") % (1 << point.width) for _ in range(50)]
        words = words[: point.depth]
        strange = [(LOAD, index, 1) for index in range(max(0, point.base - 3), point.base)]
        beats = [
            (LOAD, point.base + i * point.parts + part, word >> part * point.load_bits)
            for i, word in enumerate(words)
            for part in range(point.parts)
        ]
        after = point.base + len(beats)
        for order in [*strange, *beats, *[(LOAD, after + i, 3) for i in range(4)]]:
            found.append(order)
            if present and rng.random() < 0.6:
                address = int(rng.integers(point.depth))
                found.append((READ, address, 0))
                expected.append(present[address])
        found.append((TURN, 0, 0))
        present = words
        found += [(READ, address, 0) for address in range(point.depth)]
        expected += present
    mask = (1 << point.load_bits) - 1
    bits = point.load_bits + INDEX_BITS + 2
    values = [(o << INDEX_BITS | i) << point.load_bits | d & mask for o, i, d in found]
    rows = [value.to_bytes(-(-bits // 8), "little") for value in values]
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), -1), expected


@pytest.mark.parametrize("point", ALL, ids=str)
def test_a_bank_is_read_while_the_other_is_filled(point: Point) -> None:
    beats, expected = orders(point, images=5)
    simulation = wrapped("banked_words", point.parameters())
    for stalls in (*STALLS[:3], Stalls(9, share=0.2)):
        for reset_at in (None, len(beats) // 3):
            result = run(
                "banked_words",
                {},
                {"s_axis": beats},
                {"m_axis": len(expected)},
                stalls=stalls,
                reset_at=reset_at,
                simulation=simulation,
            )
            planes = unpack(result.outputs["m_axis"], 1, 2 * point.width)
            planes = planes.reshape(len(expected), 2, point.width)
            weights = [1 << i for i in range(point.width)]
            for copy in (0, 1) if point.parts == 1 else (1,):
                rows = planes[:, copy].tolist()
                words = [sum(b * w for b, w in zip(r, weights, strict=True)) for r in rows]
                assert words == expected


def test_lint_is_clean() -> None:
    for width, depth, load_bits in ((9, 5, 16), (40, 8, 16), (7, 1, 7)):
        values = {"WIDTH": width, "DEPTH": depth, "LOAD_BITS": load_bits, "LOAD_BASE": 5}
        assert lint("banked_memory", values) == ""
        if width <= load_bits:
            assert lint("banked_table", values | {"READERS": 3}) == ""
    assert lint("load_hop", {}) == ""
