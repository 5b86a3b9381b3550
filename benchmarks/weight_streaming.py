"""Predict the weight-streamed mode for models larger than a board: weight_streaming.md.

    python benchmarks/weight_streaming.py [--output FILE]

Every figure is predicted: folding and resources by the estimates of hw/resources, rates by
hw/streamed/cycles.py, which the simulations of tests/test_rtl_streamed.py equal within 5 %.
"""

import argparse
from pathlib import Path

from hw.boards import load_board
from hw.fold.solver import DoesNotFit
from hw.layout import Dimensions, Formats
from hw.streamed.choose import DRAM_SHARE, Performance, Plan, choose

OUTPUT = Path(__file__).with_suffix(".md")
SIZES = {"small": (4, 512, 8, 2048), "base": (12, 768, 12, 3072)}
POINTS = (  # size, board, longest sentence, attention
    ("base", "kv260", 128, "softmax"),
    ("base", "kv260", 128, "sps"),
    ("base", "pynq-z2", 128, "sps"),
    ("small", "pynq-z2", 64, "softmax"),
    ("small", "pynq-z2", 64, "sps"),
)
FORMATS = Formats(
    fraction_bits=12,
    word_bits=18,
    embedding_fraction_bits=16,
    exp_bits=12,
    probability_bits=16,
    multiplier_bits=15,
    rsqrt_index_bits=10,
    norm_fraction_bits=20,
    gamma_fraction_bits=10,
    classifier_fraction_bits=12,
)
COLUMNS = (
    "tokens of a sentence",
    "sentences of a batch",
    "tokens/s",
    "sentences/s",
    "binary TOPS",
    "ms a batch",
    "GB/s of memory",
    "waiting for weights",
)
HEAD = """\
# Weight-streamed mode: predictions

Nothing here was synthesized or measured on a board: what a design takes is estimated
(hw/streamed/resources.py), its rate is that of the cycle model (hw/streamed/cycles.py), which
simulations of small models equal within 5 % (tests/test_rtl_streamed.py). Sentences of a batch have
equal lengths; batches follow each other. Of the memory's peak bandwidth {share:.0%} is counted on.
Made by `python benchmarks/weight_streaming.py`.

"""
TAIL = """\
## Beside COBRA

COBRA (arXiv 2504.16269) reports, measured, for W1A1 BERT-base: 846 GOPS, about 38 sentences/s, on
KV260, and 3,895 GOPS, about 173 sentences/s, on ZCU102. Its figures are of a board, those above are
predictions; operations are counted alike, two per binary multiply-accumulate, here those of the
weight matrices only.
"""


def plan(size: str, board: str, max_tokens: int, attention: str) -> Plan | DoesNotFit:
    """The plan of a point, or why there is none."""
    layers, hidden, heads, ffn = SIZES[size]
    sizes = Dimensions(layers, hidden, heads, ffn, max_tokens, 30522, 2, attention)
    try:
        return choose(sizes, FORMATS, load_board(board))
    except DoesNotFit as reason:
        return reason


def section(point: tuple[str, str, int, str], found: Plan | DoesNotFit) -> str:
    """The text of a point."""
    size, board, max_tokens, attention = point
    lines = [f"## {size} on {board}, {attention}, up to {max_tokens} tokens", ""]
    if isinstance(found, DoesNotFit):
        return "\n".join([*lines, f"{str(found).replace('board: a', 'A', 1)}.", ""])
    encoder, total, budget = found.encoder, found.total, found.board.budget
    banks = f"one bank of {', '.join(encoder.single)}" if encoder.single else "two banks of weights"
    where = "on the chip" if encoder.loop == "chip" else "in external memory"
    lines += [
        f"{banks}; a batch of up to {encoder.batch_tokens} tokens waits {where}; an image "
        f"of a layer is {encoder.image_bytes / 1e3:,.0f} kB; {found.clock_mhz:g} MHz, "
        f"{found.memory.bytes_per_cycle:.1f} bytes a cycle.",
        "",
        f"Estimated: {total.lut:,} of {budget.lut:,} LUT, {total.ff:,} of {budget.ff:,} FF, "
        f"{total.bram18 / 2:g} of {budget.bram18 / 2:g} RAMB36, {total.uram} of {budget.uram} "
        f"URAM, {total.dsp} of {budget.dsp} DSP.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + " --- |" * len(COLUMNS),
        *(row(found.performance(max_tokens // part)) for part in (4, 2, 1)),
        "",
        "| kernel | PE | SIMD | tokens | weights | cycles per token |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in ("query", "output", "up", "down"):
        k = encoder.mvu(name)
        cells = (name, k.pe, k.simd, k.tokens, k.weight_memory, f"{k.words / k.tokens:g}")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    k = encoder.attention
    lines += [
        "",
        f"attention: {k.keys} keys, SIMD {k.simd}, {k.channels} channels; "
        f"residual: {encoder.input.lanes} lanes.",
        "",
    ]
    return "\n".join(lines)


def row(p: Performance) -> str:
    """A row of a point's table."""
    cells = (
        p.tokens,
        p.sentences,
        f"{p.tokens_per_s:,.0f}",
        f"{p.sentences_per_s:,.0f}",
        f"{p.tops:.1f}",
        f"{p.latency_s * 1e3:.1f}",
        f"{p.bytes_per_s / 1e9:.2f}",
        f"{p.waiting:.0%}",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    sections = [section(point, plan(*point)) for point in POINTS]
    output.write_text("\n".join([HEAD.format(share=DRAM_SHARE), *sections, TAIL]))


if __name__ == "__main__":
    main()
