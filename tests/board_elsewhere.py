"""The board's runtime under another Python: `python -m tests.board_elsewhere FOLDER`.

FOLDER has package.zip, dev.csv, texts.json and replay.npz: residuals before and after the layers.
Writes found.json there, and result.json of `verify`.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hw.pynq.edgebert_board import device  # noqa: F401  every module is to be imported
from hw.pynq.edgebert_board.__main__ import main
from hw.pynq.edgebert_board.package import Package, open_package
from hw.pynq.edgebert_board.tokenizer import words
from tests.board_model import Encoder, Fault, ModelDevice


def digest(values: Any) -> str:
    """Of plain data."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def replay(path: Path) -> Encoder:
    """A function that knows its values by heart."""
    with np.load(path) as archive:
        rows = {k: archive[k].astype(np.int64) for k in archive.files}
    known = {rows[f"in{i}"].tobytes(): rows[f"out{i}"] for i in range(len(rows) // 2)}
    return lambda residual: known[residual.astype(np.int64).tobytes()]


def run(folder: Path) -> None:
    """All of it."""
    encoder = replay(folder / "replay.npz")
    archive, data = str(folder / "package.zip"), str(folder)
    texts = json.loads((folder / "texts.json").read_text())

    def open_device(package: Package, *faults: Fault) -> ModelDevice:
        sizes, board = package.sizes, package.board
        shape = sizes.hidden, sizes.word_bits, sizes.max_tokens
        return ModelDevice(encoder, board.model_hash, *shape, faults=list(faults))

    def hanging(package: Package) -> ModelDevice:
        return open_device(package, Fault("hang", 1))

    verify = ["verify", archive, "--data", data, "--json", str(folder / "result.json")]
    with open_package(Path(archive)) as package:
        tokens = [package.tokenizer.encode(*row).input_ids for row in texts["rows"]]
    found = {
        "python": list(sys.version_info[:2]),
        "numpy": np.__version__,
        "verify": main(verify, open_device),
        "predict": main(["predict", archive, "word7 word8"], open_device),
        "hang": main(["bench", archive, "--timeout", "0.1"], hanging),
        "foreign": main(["verify", data + "/dev.csv", "--data", data], open_device),
        "tokens": digest(tokens),
        "words": [digest(words(text)) for text in texts["characters"]],
    }
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    run(Path(sys.argv[1]))
