"""What `hw.resources` says kernels take against what Yosys makes of them.

The points are kernels as the accelerators of tiny, mini and minilm need them, and every distinct
kernel of one folded encoder. Results of synthesis are cached. Run from the repository:

    python -m benchmarks.resources [--points N] [--output FILE]
"""

import argparse
from collections.abc import Iterator
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.encoders import encoder_kernels
from benchmarks.synth import commit
from hw.boards import load_board
from hw.fold.encoder import Encoder
from hw.fold.evaluate import encoder_instances
from hw.fold.solver import solve
from hw.kernels.add_norm import AddNorm
from hw.kernels.attention import BinaryAttention
from hw.kernels.kernel import Kernel
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFifo, WidthConverter
from hw.resources import Resources, resources_of
from hw.synth.cache import cached_synthesis
from hw.synth.yosys import Utilization

OUTPUT = Path(__file__).with_suffix(".md")
BOUND = 0.15  # of the LUTs
SMALL = 10  # LUTs by which a small part may be off

HEADER = """# Estimated and synthesized sizes

`hw.resources` (what the folding solver counts with) against synthesis with Yosys {version}, not
placed, on code at commit {commit}. Each cell: estimated / synthesized. `LUT off` is the difference
of the LUTs. Memories hold random bits. Made by `python -m benchmarks.resources`.

"""
COLUMNS = "kernel|parameters|family|LUT|LUT off|FF|BRAM18|URAM|DSP"
FOLDED = """
## Every distinct kernel of `{name}` on {board}, folded for {cycles} cycles per token

{total}

"""

LUTS = dict.fromkeys(
    ("buffer_style", "bias_style", "scale_style", "threshold_style"), "distributed"
)


def points() -> Iterator[tuple[Kernel, str]]:
    """Kernels and families."""

    def mvu(mw: int, mh: int, pe: int, simd: int, tokens: int = 1, **more: object) -> BinaryMvu:
        options = {"weight_memory": "block", **more}
        return BinaryMvu(mw, mh, pe, simd, tokens, **options)  # type: ignore[arg-type]

    yield mvu(256, 256, 4, 32, 2), "xc7"
    yield mvu(256, 256, 4, 32, 4, activation_memory="block"), "xc7"
    yield mvu(256, 256, 4, 64, weight_memory="distributed", raw=True), "xc7"
    yield mvu(256, 1024, 8, 64, 2), "xc7"
    yield mvu(1024, 256, 8, 64, 4, raw=True, inputs="binary"), "xc7"
    yield mvu(128, 128, 16, 32, weight_memory="distributed"), "xc7"
    yield mvu(128, 512, 8, 128, weight_memory="distributed"), "xc7"
    yield mvu(384, 384, 12, 24, 2), "xcup"
    ultra = {"weight_memory": "ultra", "loadable": True}
    yield mvu(384, 384, 4, 16, 8, **ultra), "xcup"
    yield mvu(384, 1536, 12, 16, 10, **ultra), "xcup"
    for sps in (False, True):
        yield BinaryAttention(64, 4, 64, 2, 64, 2, 8, 32, 4, sps=sps), "xc7"
    yield BinaryAttention(64, 2, 64, 4, 64, 4, 16, 64, 4), "xc7"
    yield BinaryAttention(64, 12, 32, 3, 32, 2, 4, 24, 2), "xcup"
    yield BinaryAttention(64, 4, 64, 2, 64, 2, 8, 32, 4, sps=True, relative_positions=16), "xc7"
    yield BinaryAttention(64, 12, 32, 3, 32, 2, 4, 24, 2, relative_positions=16), "xcup"
    sizes = {"accumulator_bits": 10, "multiplier": 12345, "shift": 12, "beta_bits": 30}
    for lanes, hidden, word, family in (
        (1, 256, 17, "xc7"),
        (2, 256, 17, "xc7"),
        (4, 128, 16, "xc7"),
        (2, 384, 18, "xcup"),
    ):
        norm = AddNorm(hidden, lanes=lanes, word_bits=word, threshold_bits=word + 1, **sizes)
        yield norm, family
        yield replace(norm, bit_streams=3, **LUTS), family  # type: ignore[arg-type]
    yield StreamFifo(17, 20480, "block"), "xc7"
    yield StreamFifo(17, 100, "distributed"), "xc7"
    yield StreamFifo(36, 22080, "ultra"), "xcup"
    yield StreamFifo(64, 2), "xc7"
    for narrow, wide in ((1, 64), (24, 96), (36, 48)):
        yield WidthConverter(narrow, wide), "xc7"
        yield WidthConverter(wide, narrow), "xc7"


def random_memories(kernel: Kernel) -> dict[str, str]:
    """Memory files of random bits."""
    rng = np.random.default_rng(0)
    files = {}
    for name, (words, bits) in kernel.memory_shapes().items():
        digits = -(-bits // 4)
        rows = rng.bytes(words * digits).hex()[: words * digits]
        top = (1 << (bits - 1) % 4 + 1) - 1  # of the highest digit
        lines = [rows[i * digits : (i + 1) * digits] for i in range(words)]
        files[name] = "".join(f"{int(row[0], 16) & top:x}{row[1:]}\n" for row in lines)
    return files


def synthesized(kernel: Kernel, family: str) -> Utilization:
    """What Yosys makes of a kernel."""
    parameters = kernel.parameters()
    used, _ = cached_synthesis(kernel.module, parameters, family, random_memories(kernel))
    return used


def close(estimate: Resources, used: Utilization) -> bool:
    """Whether LUTs are near enough, and block RAM, URAM and DSP equal."""
    exact = (estimate.bram18, estimate.uram, estimate.dsp) == (used.bram18, used.uram, used.dsp)
    return exact and abs(estimate.lut - used.lut) <= max(SMALL, BOUND * used.lut)


def row(kernel: Kernel, family: str, count: int = 0) -> str:
    """A row of the table."""
    estimate, used = resources_of(kernel, family), synthesized(kernel, family)
    text = ", ".join(
        f"{f.name} {getattr(kernel, f.name)}"
        for f in fields(kernel)  # type: ignore[arg-type]
        if getattr(kernel, f.name) != f.default and not _is_name(f.name)
    )
    amounts = (
        (name, getattr(estimate, name), getattr(used, name)) for name in Resources().as_dict()
    )
    values = {name: f"{a} / {b}" for name, a, b in amounts}
    off = f"{100 * (estimate.lut / used.lut - 1):+.0f} %" + ("" if close(estimate, used) else " !")
    cells = [f"{count} x {kernel.module}" if count else kernel.module, text, family]
    cells += [values["lut"], off, values["ff"], values["bram18"], values["uram"], values["dsp"]]
    return "| " + " | ".join(cells) + " |"


def _is_name(field: str) -> bool:
    return field.endswith("file") or field in ("name", "prefix", "multiplier", "shift")


def folded(name: str, board: str, cycles: int, max_tokens: int) -> tuple[list[str], str]:
    """Rows of every distinct kernel of a folded encoder, and a line with the sums."""
    kernels, part = encoder_kernels(name, max_tokens), load_board(board)
    solution = solve(kernels, part, max_tokens, cycles=cycles)
    instances = encoder_instances(Encoder(kernels, max_tokens), solution.folding)
    counts: dict[Kernel, int] = {}
    for kernel in instances.values():
        plain = _unnamed(kernel)
        counts[plain] = counts.get(plain, 0) + 1
    rows, lut, bram = [], 0, 0
    for kernel, count in sorted(counts.items(), key=lambda item: str(item[0])):
        used = synthesized(kernel, part.family)
        lut, bram = lut + count * used.lut, bram + count * used.bram18
        rows.append(row(kernel, part.family, count))
        print(rows[-1], flush=True)
    text = f"Sums, estimated / synthesized: {solution.total.lut:,} / {lut:,} LUT, "
    text += f"{solution.total.bram18} / {bram} BRAM18; {solution.cycles} cycles per token."
    return rows, text


def _unnamed(kernel: Kernel) -> Kernel:
    """A kernel without the names of its files, and norms without what differs by layer."""
    same = {
        "weight_file": "weights.hex", "name": "", "prefix": "", "threshold_file": "thresholds.hex",
        "multiplier": 12345, "shift": 12, "bias_bits": 24, "gamma_bits": 16, "beta_bits": 30,
    }  # fmt: skip
    given = {f.name for f in fields(kernel)}  # type: ignore[arg-type]
    return replace(kernel, **{k: v for k, v in same.items() if k in given})  # type: ignore[type-var]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, help="only the first so many")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    rows = []
    for kernel, family in list(points())[: args.points]:
        rows.append(row(kernel, family))
        print(rows[-1], flush=True)
    text = HEADER.format(version=version("pyosys"), commit=commit()) + table(rows)
    if args.points is None:
        inner, total = folded("mini", "pynq-z2", 256, 64)
        text += FOLDED.format(name="mini", board="pynq-z2", cycles=256, total=total) + table(inner)
    args.output.write_text(text)


def table(rows: list[str]) -> str:
    """Rows below the heads of their columns."""
    names = COLUMNS.split("|")
    return "\n".join([f"| {' | '.join(names)} |", "|" + " --- |" * len(names), *rows]) + "\n"


if __name__ == "__main__":
    main()
