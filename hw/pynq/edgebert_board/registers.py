"""The register map of the accelerator's shell: byte offsets and bits of 32-bit registers."""

ID = 0x000
VERSION = 0x004
MODEL_HASH = 0x008  # eight words, the first bytes of the hash in the first, big-endian
MAX_TOKENS = 0x028
HIDDEN = 0x02C
WORD_BITS = 0x030
LOAD_BEATS = 0x034  # 0: no weights to load
CLOCK_KHZ = 0x038

CONTROL = 0x040  # written only
STATUS = 0x044
IN_ADDRESS = 0x048  # low word; the high one follows, as in every address
IN_BYTES = 0x050
LENGTHS_ADDRESS = 0x054
SENTENCES = 0x05C
OUT_ADDRESS = 0x060
OUT_BYTES = 0x068  # size of the buffer
OUT_MODE = 0x06C
LOAD_ADDRESS = 0x070

CYCLES = 0x080  # low word of 64 bits; reading it holds the high one, which follows
INPUT_STALLS = 0x088
OUTPUT_STALLS = 0x090
TOKENS_IN = 0x098
TOKENS_OUT = 0x09C
SENTENCES_OUT = 0x0A0
LAST_ERROR_ADDRESS = 0x0A4

ADDRESS_SPACE = 0x1000  # bytes
ID_VALUE = 0x45444254  # "EDBT"
VERSION_VALUE = 1
HASH_WORDS = 8

# CONTROL: each bit clears itself
START = 1 << 0  # ignored while busy
RESET = 1 << 1
CLEAR = 1 << 2  # the counters
LOAD = 1 << 3

# STATUS
BUSY = 1 << 0
DONE = 1 << 1  # until the next START or RESET
LOADED = 1 << 2
READ_ERROR = 1 << 8
WRITE_ERROR = 1 << 9
LENGTH_ERROR = 1 << 10  # a sentence of 0 or more than MAX_TOKENS tokens
OVERFLOW = 1 << 11  # the output buffer is too short
ERRORS = READ_ERROR | WRITE_ERROR | LENGTH_ERROR | OVERFLOW

# OUT_MODE
ALL_TOKENS = 0
FIRST_TOKENS = 1  # one token per sentence

BUFFER_ALIGNMENT = 8  # bytes
WEIGHT_BEAT_BYTES = 16

STATUS_BITS = {
    BUSY: "BUSY",
    DONE: "DONE",
    LOADED: "LOADED",
    READ_ERROR: "READ_ERROR",
    WRITE_ERROR: "WRITE_ERROR",
    LENGTH_ERROR: "LENGTH_ERROR",
    OVERFLOW: "OVERFLOW",
}


def status_text(status: int) -> str:
    """The names of the bits that are set, such as `BUSY|LOADED`; `0` for none."""
    names = [name for bit, name in STATUS_BITS.items() if status & bit]
    rest = status & ~sum(STATUS_BITS)
    return "|".join([*names, *([hex(rest)] if rest else [])]) or "0"


def word_bytes(word_bits: int) -> int:
    """Bytes of a residual word in memory: two's complement, little-endian."""
    return 2 if word_bits <= 16 else 4
