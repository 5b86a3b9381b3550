"""Memories as Yosys makes them: block RAM, LUTs as RAM, logic as ROM.

Figures of `synth_xilinx`; benchmarks/resources.md compares them with syntheses.
"""

import math

# Bits of a word at 512, 1024, ... words of a RAMB18; a RAMB36 has twice the bits, or twice the
# words down to one bit. With a write and a read port.
RAMB18_WIDTHS = {512: 36, 1024: 18, 2048: 9, 4096: 4, 8192: 2, 16384: 1}
RAMB36_WIDTHS = {512: 72, 1024: 36, 2048: 18, 4096: 9, 8192: 4, 16384: 2, 32768: 1}
BYTE = 9  # bits that a write enable of a block RAM or URAM governs
URAM_WORDS, URAM_BITS = 4096, 72


def block_ram(words: int, bits: int, written: bool = True) -> tuple[int, int]:
    """A memory in block RAM: RAMB18 (a RAMB36 counts two), and LUTs that choose among rows.

    More words than a block has make rows. Rows lie side by side in wider words: in a ROM at any
    bit, in a RAM at bytes of their own, which are written apart. The fewest blocks are taken, and
    then the fewest rows.
    """
    best = (1 << 60, 0)
    for size, shapes in ((1, RAMB18_WIDTHS), (2, RAMB36_WIDTHS)):
        for depth, width in shapes.items():
            rows = -(-words // depth)
            padded = bits
            if written and rows > 1 and width >= BYTE:
                padded = -(-bits // BYTE) * BYTE
            best = min(best, (size * -(-rows * padded // width), rows))
    blocks, rows = best
    return blocks, bits * multiplexer(rows)


def multiplexer(rows: int) -> int:
    """LUTs of a bit that is chosen among rows: a LUT6 chooses among four."""
    return -(-(rows - 1) // 3)


def lut_ram(words: int, bits: int, family: str) -> tuple[int, int]:
    """A memory of a write and a read port: LUTs that hold it, LUTs that choose among rows.

    7-series: four LUTs hold 32 words of 6 bits or 64 of 3; UltraScale+: eight hold 32 of 14 or 64
    of 7.
    """
    luts, narrow = (4, 3) if family == "xc7" else (8, 7)
    if words <= 32:
        return luts * -(-bits // (2 * narrow)), 0
    rows = -(-words // 64)
    select = bits * multiplexer(rows) + (rows if rows > 1 else 0)
    return luts * -(-bits // narrow) * rows, select


def ultra_ram(words: int, bits: int) -> int:
    """URAM of a memory that is `packed` words of `bits` bits to a word of 72."""
    packed = packing(bits)
    if packed > 1:
        return -(-words // (URAM_WORDS * packed))
    return -(-bits // URAM_BITS) * -(-words // URAM_WORDS)


def packing(bits: int) -> int:
    """Words of `bits` bits that share a word of a URAM, each in bytes of its own."""
    fit = URAM_BITS // (-(-bits // BYTE) * BYTE)
    return 1 << int(math.log2(fit)) if fit else 1


def lut_rom(words: int, bits: int) -> int:
    """LUTs of a memory of constants in LUTs: a LUT6 holds 64 bits, or 32 words of two."""
    if words <= 32:
        return -(-bits // 2)
    rows = -(-words // 64)
    return bits * (rows + (multiplexer(-(-rows // 4)) if rows > 4 else 0))
