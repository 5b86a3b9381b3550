"""What the manifest of a package says of the model and of the board, checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import BoardError
from .integer_host import Sizes

_FORMATS = (
    "fraction_bits",
    "word_bits",
    "classifier_fraction_bits",
    "rsqrt_index_bits",
    "norm_fraction_bits",
    "gamma_fraction_bits",
)


@dataclass(frozen=True)
class Board:
    """The accelerator that a package was built for.

    Attributes:
        name: such as pynq-z2.
        model_hash: SHA-256 of integer.safetensors, in hexadecimal.
        bitstream, hwh: names of files of the package; None where not built.
        base_address, address_bytes: of the registers.
        load_beats: weights to load at start-up, in beats of 16 bytes; 0: none.
        clock_khz: of the accelerator, for boards whose hwh does not set it.
    """

    name: str
    model_hash: str
    bitstream: str | None
    hwh: str | None
    base_address: int
    address_bytes: int
    load_beats: int
    clock_khz: int


def read_board(where: Path, manifest: Mapping[str, Any]) -> Board:
    """The section `board`. Raises BoardError for what is missing or absurd."""
    board = _section(where, manifest, "board")
    model_hash = manifest.get("model_sha256")
    if not isinstance(model_hash, str) or not re.fullmatch(r"[0-9a-f]{64}", model_hash):
        raise BoardError(f"{where}: manifest: expected model_sha256, got {model_hash!r}")
    name, files = board.get("name"), (board.get("bitstream"), board.get("hwh"))
    if not isinstance(name, str) or not all(f is None or isinstance(f, str) for f in files):
        raise BoardError(f"{where}: manifest: expected names of the board and its files")
    return Board(
        name,
        model_hash,
        *files,
        base_address=_number(where, "board", board, "base_address", 0, (1 << 40) - 1),
        address_bytes=_number(where, "board", board, "address_bytes", 4096, 1 << 30),
        load_beats=_number(where, "board", board, "load_beats", 0, 1 << 26),
        clock_khz=_number(where, "board", board, "clock_khz", 1, 10_000_000),
    )


def read_sizes(where: Path, manifest: Mapping[str, Any]) -> Sizes:
    """The sections `model` and `formats`, and the number of logits.

    `max_tokens` of the manifest is the accelerator's, which may be less than the model's.
    """
    model, formats = _section(where, manifest, "model"), _section(where, manifest, "formats")
    labels, regression = manifest.get("labels"), manifest.get("regression")
    names = labels if isinstance(labels, list) else []
    if not all(isinstance(name, str) for name in names) or (len(names) < 2 and not regression):
        raise BoardError(f"{where}: manifest: expected labels or a regression, got {labels!r}")
    if not isinstance(manifest.get("metric"), str):
        raise BoardError(f"{where}: manifest: expected a metric, got {manifest.get('metric')!r}")
    bits = {key: _number(where, "formats", formats, key, 0, 32) for key in _FORMATS}
    if not 4 <= bits["rsqrt_index_bits"] <= 16 or bits["rsqrt_index_bits"] % 2:
        raise BoardError(f"{where}: manifest: formats: expected even rsqrt_index_bits of 4 to 16")
    if not 2 <= bits["word_bits"] <= 32:
        raise BoardError(f"{where}: manifest: formats: expected word_bits of 2 to 32")
    sizes = {
        key: _number(where, "model", model, key, 1, 1 << 24)
        for key in ("hidden", "vocab", "token_types")
    }
    longest = _number(where, "model", model, "max_tokens", 1, (1 << 16) - 1)
    return Sizes(
        **sizes,
        **bits,
        positions=longest,
        max_tokens=_number(where, "manifest", manifest, "max_tokens", 4, longest),
        outputs=1 if regression else len(names),
    )


def _section(where: Path, manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = manifest.get(name)
    if not isinstance(section, dict):
        raise BoardError(f"{where}: manifest: expected a section {name}, got {section!r}")
    return section


def _number(
    where: Path, section: str, values: Mapping[str, Any], key: str, low: int, high: int
) -> int:
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BoardError(
            f"{where}: manifest: {section}.{key}: expected {low} to {high}, got {value!r}"
        )
    return value
