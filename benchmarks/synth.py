"""What the RTL kernels take of a part, by synthesis with Yosys, at a fixed list of points.

Results are cached under a hash of their sources, so that a run goes on where another ended and
makes anew only what has changed. Run from the repository:

    python -m benchmarks.synth [--points NAME ...] [--jobs N]
"""

import argparse
import functools
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

from hw.integer_model import IntegerModel
from hw.kernels.add_norm import AddNorm, NormTensors
from hw.kernels.attention import BinaryAttention
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import HeadReorder, SkidBuffer, StreamFifo, StreamFork, WidthConverter
from hw.sim.verilator import Parameter
from hw.synth.cache import cached_synthesis
from hw.synth.yosys import FAMILIES, Utilization
from tests.models import random_integer_model

OUTPUT = Path(__file__).with_suffix(".md")
ROOT = Path(__file__).parents[1]

HEADER = """# Size of the RTL kernels

Synthesized, not placed, with Yosys {version} (`synth_xilinx`, out of context), on code at commit
{commit}. Families: `xc7` = 7-series, `xcup` = UltraScale+. `LUT` counts LUT cells (a LUT6_2 as one)
and those that serve as memory, which the number in brackets repeats. `CARRY` counts CARRY4 and,
on xcup, CARRY8 cells; a RAMB36 counts as two `BRAM18`. `LUT per MAC` is all LUTs of the module over
its binary multiply-accumulates per cycle. Made by `make synth`.

"""
COLUMNS = "kernel|parameters|family|LUT|FF|CARRY|BRAM18|DSP|LUT per MAC|goal|met"


@dataclass(frozen=True)
class Goal:
    """An upper bound: of `measure` ("LUT", "DSP", "LUT per MAC")."""

    measure: str
    limit: float


@dataclass(frozen=True)
class Point:
    """A module with its parameters.

    Attributes:
        text: the parameters that matter, for the table.
        top, parameters, memories: what is synthesized.
        macs: binary multiply-accumulates per cycle; 0 where that says nothing.
        goals: all that must hold.
    """

    text: str
    top: str
    parameters: Mapping[str, Parameter]
    memories: Mapping[str, str] = field(default_factory=dict)
    macs: int = 0
    goals: Sequence[Goal] = ()


def mvu(
    mw: int,
    mh: int,
    simd: int,
    pe: int,
    tokens: int = 1,
    limit: float = 0,
    activations: str = "distributed",
) -> Point:
    """A binary MVU with thresholds, its weights in block RAM."""
    kernel = BinaryMvu(
        mw, mh, pe, simd, tokens, weight_memory="block", activation_memory=activations
    )
    memory = "" if activations == "distributed" else ", activations in block RAM"
    return Point(
        f"SIMD x PE = {simd} x {pe}, MW {mw}, MH {mh}, TOKENS {tokens}{memory}",
        "binary_mvu",
        kernel.parameters(),
        random_mvu(kernel),
        simd * pe * tokens,
        [*([Goal("LUT per MAC", limit)] if limit else []), Goal("DSP", 0)],
    )


def random_mvu(kernel: BinaryMvu) -> dict[str, str]:
    """Memory files of random weights and thresholds."""
    rng, mw, mh = np.random.default_rng(0), kernel.mw, kernel.mh
    weight = 2 * rng.integers(0, 2, (mh, mw)) - 1
    threshold = np.rint(rng.normal(0, mw**0.5, mh)).astype(np.int64).clip(-mw, mw + 1)
    return kernel.memories(weight, threshold)


def lane(simd: int) -> Point:
    """One lane of an MVU: popcount and accumulator."""
    parameters = {"SIMD": simd, "ACC_BITS": 11}
    return Point(f"SIMD {simd}, 11-bit sum", "binary_lane", parameters, macs=simd)


def popcount(bits: int) -> Point:
    """A popcount alone."""
    return Point(f"N {bits}", "popcount", {"N": bits}, macs=bits)


@functools.cache
def mini_like(attention: str, relative_positions: int = 0) -> IntegerModel:
    """A model of random tensors as wide as `mini`."""
    sizes = {"layers": 2, "hidden": 256, "heads": 4, "ffn": 1024, "max_tokens": 64}
    sizes["relative_positions"] = relative_positions
    return random_integer_model(0, attention=attention, golden=0, **sizes)


def attention(kind: str, relative_positions: int = 0) -> Point:
    """The attention of a layer: 4 heads of 64, a row of a head per 64 cycles."""
    model = mini_like(kind, relative_positions)
    tensor = functools.partial(_layer_tensor, model)
    formats, sizes = model.formats, model.dimensions
    kernel = BinaryAttention(
        sizes.max_tokens,
        sizes.heads,
        sizes.head_width,
        keys=1,
        simd=sizes.head_width,
        channels=1,
        in_bits=16,
        out_bits=16,
        sps=kind == "sps",
        exp_bits=formats.exp_bits,
        probability_bits=formats.probability_bits,
        relative_positions=relative_positions,
    )
    tables = {name: tensor(f"attention.{name}") for name in kernel.tables()}
    bias = f", a bias of {relative_positions} distances" if relative_positions else ""
    return Point(
        f"{kind}, A 4, D 64, up to 64 tokens, a token per 256 cycles{bias}",
        "attention",
        kernel.parameters(),
        kernel.memories(tensor("output.input_threshold"), **tables),
        goals=[Goal("LUT", 3000), Goal("DSP", 0)],
    )


def add_norm(norm: str) -> Point:
    """Add and LayerNorm of 256 channels, one a cycle."""
    model = mini_like("softmax")
    kernel = AddNorm.of_layer(model, 0, norm)
    return Point(
        f"H 256, LANES 1, {kernel.bit_streams} bit streams",
        "add_norm",
        kernel.parameters(),
        kernel.memories(NormTensors.of_layer(model, 0, norm)),
        goals=[Goal("LUT", 1500), Goal("DSP", 8)],
    )


def part(
    top: str, text: str, kernel: StreamFork | SkidBuffer | StreamFifo | WidthConverter | HeadReorder
) -> Point:
    """A stream part."""
    return Point(text, top, kernel.parameters())


def _layer_tensor(model: IntegerModel, name: str) -> np.ndarray:
    return model[f"layer.0.{name}"]


POINTS: dict[str, Callable[[], Point]] = {
    "mvu-64x8": lambda: mvu(768, 768, 64, 8),
    "mvu-64x16": lambda: mvu(768, 768, 64, 16, limit=1.0),
    "mvu-256x16": lambda: mvu(768, 768, 256, 16, limit=0.9),
    "mvu-256x16-blocks": lambda: mvu(768, 768, 256, 16, limit=0.8, activations="block"),
    "mvu-64x8-tokens2": lambda: mvu(768, 768, 64, 8, 2),
    "mvu-64x16-tokens2": lambda: mvu(768, 768, 64, 16, 2, limit=1.0),
    "mvu-64x16-mini": lambda: mvu(256, 256, 64, 16, limit=1.0),
    "lane-64": lambda: lane(64),
    "lane-256": lambda: lane(256),
    "popcount-64": lambda: popcount(64),
    "popcount-256": lambda: popcount(256),
    "attention-softmax": lambda: attention("softmax"),
    "attention-sps": lambda: attention("sps"),
    "attention-softmax-relative": lambda: attention("softmax", 16),
    "attention-sps-relative": lambda: attention("sps", 16),
    "add-norm-1": lambda: add_norm("attention_norm"),
    "add-norm-3": lambda: add_norm("ffn_norm"),
    "fork": lambda: part("stream_fork", "64 bits, 3 outputs", StreamFork(64, 3)),
    "skid": lambda: part("skid_buffer", "64 bits", SkidBuffer(64)),
    "fifo-32": lambda: part("stream_fifo", "16 bits, 32 beats", StreamFifo(16, 32)),
    "fifo-512": lambda: part("stream_fifo", "36 bits, 512 beats", StreamFifo(36, 512)),
    "width-up": lambda: part("width_converter", "16 to 64 bits", WidthConverter(16, 64)),
    "width-down": lambda: part("width_converter", "64 to 16 bits", WidthConverter(64, 16)),
    "width-ratio": lambda: part("width_converter", "24 to 16 bits", WidthConverter(24, 16)),
    "reorder": lambda: part(
        "head_reorder", "16 bits, A 4, D 64, up to 64 tokens", HeadReorder(16, 4, 4, 64)
    ),
    "reorder-inverse": lambda: part(
        "head_reorder",
        "16 bits, A 4, D 64, up to 64 tokens, inverse",
        HeadReorder(16, 4, 4, 64, inverse=True),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", nargs="+", default=list(POINTS), choices=POINTS, metavar="NAME")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--jobs", type=int, default=1, help="syntheses at a time")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    work = [(POINTS[name](), family) for name in args.points for family in args.families]
    with ThreadPoolExecutor(args.jobs) as pool:
        rows = []
        for text in pool.map(lambda item: row(*item), work):
            print(text, flush=True)
            rows.append(text)
    args.output.write_text(HEADER.format(version=version("pyosys"), commit=commit()) + table(rows))


def row(point: Point, family: str) -> str:
    """Synthesize a point; its row of the table."""
    used, _ = cached_synthesis(point.top, point.parameters, family, point.memories)
    values = measures(point, used)
    met = all(values[goal.measure] <= goal.limit for goal in point.goals)
    cells = [
        point.top,
        point.text,
        family,
        f"{used.lut} ({used.lut_memory})" if used.lut_memory else str(used.lut),
        *map(str, (used.ff, used.carry, used.bram18, used.dsp)),
        f"{values['LUT per MAC']:.3f}" if point.macs else "",
        ", ".join(f"{goal.measure} <= {goal.limit:g}" for goal in point.goals),
        ("yes" if met else "no") if point.goals else "",
    ]
    return "| " + " | ".join(cells) + " |"


def measures(point: Point, used: Utilization) -> dict[str, float]:
    """The measures that a goal can name."""
    per_mac = used.lut / point.macs if point.macs else float("nan")
    return {"LUT": used.lut, "DSP": used.dsp, "LUT per MAC": per_mac}


def table(rows: Sequence[str]) -> str:
    """Rows below the heads of their columns."""
    names = COLUMNS.split("|")
    return "\n".join([f"| {' | '.join(names)} |", "| " + "--- | " * len(names), *rows]) + "\n"


def commit() -> str:
    """The commit of the sources, and whether they differ from it."""
    git = ["git", "-C", str(ROOT)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "hw"], capture_output=True, text=True
    )
    if name.returncode:
        return "unknown"
    return name.stdout.strip() + (" with changes" if changed.stdout.strip() else "")


if __name__ == "__main__":
    main()
