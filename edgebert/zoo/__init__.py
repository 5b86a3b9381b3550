"""The zoo: trained W1A1 models that ship with edgebert.

    zoo/NAME.safetensors   the integer model, from which `edgebert zoo get` makes an export
    zoo/NAME.md            its model card
    zoo/index.json         hashes, tasks and figures; `python -m benchmarks.make_zoo` writes it

A name is CONFIG-TASK, such as `mini-sst2`. Pre-trained encoders are in edgebert/zoo/encoders.py.
"""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from edgebert.errors import UserError

FOLDER = Path(__file__).parent
INDEX = "index.json"


@dataclass(frozen=True)
class ZooModel:
    """A model of the zoo.

    Attributes:
        name: CONFIG-TASK.
        sha256, bytes: of its file.
        config, task: of its training.
        metric: name of the task's main metric.
        sentences: of the dev set that the figures are from.
        teacher, w1a2, w1a1_float, w1a1: main metric on dev of the full-precision stage, the W1A2
            stage (None where the schedule has none), the W1A1 model with float scales and
            LayerNorm, and the integers deployed.
        seed: of the run.
        seconds: optimization time of all stages on the machine that trained it.
        weights_kb: packed binary encoder weights, in 1,000 bytes.
    """

    name: str
    sha256: str
    bytes: int
    config: str
    task: str
    metric: str
    sentences: int
    teacher: float
    w1a2: float | None
    w1a1_float: float
    w1a1: float
    seed: int
    seconds: int
    weights_kb: int

    @property
    def stages(self) -> dict[str, float]:
        """Main metric on dev by stage."""
        found = {"w32a32": self.teacher, "w1a2": self.w1a2, "w1a1": self.w1a1}
        return {name: value for name, value in found.items() if value is not None}


def read_index(folder: Path = FOLDER) -> dict[str, ZooModel]:
    """The models of the zoo by name; none if it is empty."""
    path = folder / INDEX
    if not path.is_file():
        return {}
    entries = json.loads(path.read_text(encoding="utf-8"))
    return {entry["name"]: ZooModel(**entry) for entry in entries}


def write_index(models: Mapping[str, ZooModel], folder: Path = FOLDER) -> None:
    """Replace the index."""
    entries = [asdict(models[name]) for name in sorted(models)]
    (folder / INDEX).write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def find(name: str, folder: Path = FOLDER, others: Iterable[str] = ()) -> ZooModel:
    """A model by name; UserError, naming the nearest, if there is none.

    others: names to speak of besides.
    """
    models = read_index(folder)
    if name in models:
        return models[name]
    names = [*models, *others]
    near = difflib.get_close_matches(name, names, n=1)
    advice = f"did you mean {near[0]}?" if near else "see edgebert zoo list"
    known = ", ".join(names) or "none: the zoo is empty"
    raise UserError(f"zoo: expected one of {known}, got {name!r}; {advice}")


def model_file(model: ZooModel, folder: Path = FOLDER) -> Path:
    """The file of a model; UserError unless its content has the hash of the index."""
    path = folder / f"{model.name}.safetensors"
    checked_content(path, model.sha256)
    return path


def checked_content(path: Path, sha256: str) -> bytes:
    """What a file of the zoo holds; UserError unless it has the hash of the index."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: expected a file of the zoo, got: {error.strerror}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UserError(
            f"{path}: expected sha256 {sha256[:12]}..., got {found[:12]}... "
            f"({len(content):,} bytes): truncated or changed; install edgebert again"
        )
    return content
