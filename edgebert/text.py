"""Reading text files: UTF-8, checked, with errors that name the file and the place."""

import codecs
from pathlib import Path
from typing import Any

import yaml

from edgebert.data import Example
from edgebert.errors import UserError


def read_utf8(path: Path) -> str:
    """The text of a UTF-8 file, without a byte-order mark.

    Raises UserError where the file is absent, is no file, is empty or isn't UTF-8.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"{path}: expected a readable file, got: {reason}") from None
    mark = len(codecs.BOM_UTF8) if raw.startswith(codecs.BOM_UTF8) else 0
    try:
        text = raw[mark:].decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start + mark
        line = raw.count(b"\n", 0, at) + 1
        raise UserError(
            f"{path}:{line}: expected UTF-8, got byte 0x{raw[at]:02x} at offset {at}; "
            "save the file as UTF-8"
        ) from None
    if not text.strip():
        raise UserError(f"{path}: expected text, got an empty file")
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, without their ends.

    Only a line feed (or CR LF) ends a line: a sentence may hold the other characters
    that `str.splitlines` would split at.
    """
    lines = [line.removesuffix("\r") for line in read_utf8(path).split("\n")]
    if not lines[-1]:
        lines.pop()
    return lines


def read_yaml(path: Path) -> Any:
    """What a YAML file says. Raises UserError where it is none."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected YAML, got {' '.join(str(error).split())}") from None


def read_sentences(path: Path) -> list[Example]:
    """The examples of a file of unlabelled text: a sentence a line, or a pair, a tab between.

    Blank lines are left out. Raises UserError where a line has more than two parts.
    """
    examples = []
    for number, line in enumerate(map(str.strip, read_lines(path)), 1):
        parts = [part for part in map(str.strip, line.split("\t")) if part]
        if len(parts) > 2:
            raise UserError(
                f"{path}:{number}: expected a sentence, or a pair with a tab between, got "
                f"{len(parts)} parts"
            )
        if parts:
            examples.append(Example(parts[0], parts[1] if len(parts) == 2 else None))
    return examples
