"""The folder of a training run: what is in it, how it begins, and how it is read.

config.yaml  run.json  tokenizer/  metrics.jsonl  tensorboard/
sentences.json                              a few dev sentences, for golden vectors
stage-NAME/model.safetensors, stage.json    the chosen model of each finished stage
checkpoint/                                 where an unfinished run goes on
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from edgebert.checkpoint import (
    CheckpointFolder,
    load_tensors,
    new_folder,
    read_record,
    save_tensors,
    write_atomic,
    write_record,
)
from edgebert.config import Bits, Config, from_dict, parse_schedule, to_dict
from edgebert.errors import UserError
from edgebert.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from edgebert.model import BinaryBert

FORMAT = 1
FIXED = (
    "config.yaml",
    "sentences.json",
    "tokenizer/vocab.txt",
    "tokenizer/tokenizer_config.json",
)  # never change after the start

Sentence = tuple[str, str | None]  # text, text_b


@dataclass(frozen=True)
class Earlier:
    """The run that a run goes on from, and what went before that one."""

    checkpoint_sha256: str  # of its last stage
    stages: Mapping[str, Mapping[str, float]]  # metrics on dev of each stage
    seconds: float  # of optimization


@dataclass(frozen=True)
class RunInfo:
    """What a run was started with, beside its configuration (run.json)."""

    task: str
    labels: tuple[str, ...]  # empty for regression
    regression: bool
    metric: str
    data: str | None  # name of the data folder, without its path
    data_sha256: str  # of every training and dev sentence with its label
    init: str | None
    max_steps: int | None  # of each stage
    status: str = "running"  # running | interrupted | done
    versions: Mapping[str, str] = field(default_factory=dict)
    earlier: Earlier | None = None  # where --init is a run
    # SHA-256 of what quantized stages started from, by stage: of its file
    quantized_init: Mapping[str, str] = field(default_factory=dict)
    # SHA-256 of the runs' w32a32 whose mean this is, by their folders' names
    averaged: Mapping[str, str] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        return 1 if self.regression else len(self.labels)


@dataclass(frozen=True)
class StageResult:
    """The chosen model of a finished stage (stage-NAME/stage.json)."""

    stage: str
    deploy: bool  # trained on, and evaluated in, the deployed integer arithmetic
    step: int
    metrics: Mapping[str, float]  # on dev
    chosen_by: Mapping[str, float]  # on what the choice was made: dev or the held-out part
    checkpoint_sha256: str


@dataclass(frozen=True)
class LoadedRun:
    """A trained model with all that is needed to use it; the model is in eval mode."""

    path: Path
    config: Config
    info: RunInfo
    tokenizer: Tokenizer
    model: "BinaryBert"
    bits: Bits
    stage: StageResult
    sentences: tuple[Sentence, ...]  # a few of dev, of all lengths


class RunFolder:
    """Reads and writes the folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = CheckpointFolder(path / "checkpoint")
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"

    @classmethod
    def create(
        cls,
        out: Path,
        config: Config,
        info: RunInfo,
        tokenizer: Tokenizer,
        sentences: Sequence[Sentence],
        *,
        force: bool,
    ) -> "RunFolder":
        """Begin a run: the folder is made beside its place and moved there when whole.

        With `force`, a run that was there before is deleted only then.
        """
        check_out(out, force=force)
        out = out.resolve()
        with new_folder(out) as fresh:
            tokenizer.save(fresh / "tokenizer")
            text = yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)
            write_atomic(fresh / "config.yaml", text.encode())
            lines = json.dumps([list(pair) for pair in sentences], ensure_ascii=False, indent=0)
            write_atomic(fresh / "sentences.json", lines.encode())
            cls(fresh).write_info(info)
        return cls(out)

    def write_info(self, info: RunInfo) -> None:
        """Write run.json with the hashes of the files that never change."""
        files = {name: file_sha256(self.path / name) for name in FIXED}
        write_record(
            self.path / "run.json",
            {"format": FORMAT, **asdict(info), "labels": list(info.labels), "files": files},
        )

    def read_info(self) -> RunInfo:
        """Read run.json, and check the files that it names."""
        require_run(self.path)
        record = read_record(self.path / "run.json")
        if record.get("format") != FORMAT:
            raise UserError(
                f"{self.path}: expected a run of format {FORMAT}, got {record.get('format')}; "
                "use the version of edgebert that wrote it"
            )
        for name, sha256 in record["files"].items():
            if file_sha256(self.path / name) != sha256:
                raise UserError(
                    f"{self.path / name}: expected the file that run.json names, got another "
                    "content (sha256); restore it, or train again with --force"
                )
        values = {f.name: record[f.name] for f in fields(RunInfo) if f.name in record}
        if values.get("earlier"):
            values["earlier"] = Earlier(**values["earlier"])
        return RunInfo(**{**values, "labels": tuple(values["labels"])})

    def read_config(self) -> Config:
        """The configuration of the run."""
        return from_dict(yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8")))

    def read_tokenizer(self) -> Tokenizer:
        """The tokenizer of the run."""
        return Tokenizer.load(self.path / "tokenizer")

    def read_sentences(self) -> tuple[Sentence, ...]:
        """A few dev sentences of the task."""
        pairs = json.loads((self.path / "sentences.json").read_text(encoding="utf-8"))
        return tuple((text, text_b) for text, text_b in pairs)

    def write_stage(self, tensors: Mapping[str, "Tensor"], result: StageResult) -> StageResult:
        """Save a finished stage's model; the result with the hash of its file."""
        folder = self.path / f"stage-{result.stage}"
        folder.mkdir(exist_ok=True)
        sha256 = save_tensors(folder / "model.safetensors", tensors)
        result = StageResult(**{**asdict(result), "checkpoint_sha256": sha256})
        write_record(folder / "stage.json", asdict(result))
        return result

    def seconds(self, stage: str | None = None) -> float:
        """Optimization time of all stages, or of the named one, from the log."""
        last: dict[str, float] = {}
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            last[entry["stage"]] = entry["seconds"]
        return sum(value for name, value in last.items() if stage in (None, name))

    def read_stage(self, bits: Bits) -> StageResult:
        """The result of a finished stage."""
        path = self.path / f"stage-{bits.name}" / "stage.json"
        if not path.is_file():
            found = sorted(path.parent.name for path in self.path.glob("*/stage.json"))
            done = [name.removeprefix("stage-") for name in found]
            raise UserError(
                f"{self.path}: expected a trained stage {bits.name}, got "
                f"{', '.join(done) or 'none yet'}; go on with --resume"
                f"{' or choose one with --stage' if done else ''}"
            )
        return StageResult(**read_record(path))

    def load_stage(self, bits: Bits, config: Config, info: RunInfo) -> "BinaryBert":
        """The chosen model of a finished stage, in eval mode on the CPU."""
        from edgebert.model import BinaryBert

        result = self.read_stage(bits)
        path = self.path / f"stage-{bits.name}" / "model.safetensors"
        tensors = load_tensors(path, result.checkpoint_sha256)
        model = BinaryBert(config.model, config.arithmetic, info.outputs, bits, result.deploy)
        model.load_state_dict(tensors)
        return model.eval()


def load_run(run_dir: str | Path, stage: str | None = None) -> LoadedRun:
    """Load the chosen model of a run's last stage, or of the named one such as `w1a2`."""
    folder = RunFolder(Path(run_dir))
    info, config = folder.read_info(), folder.read_config()
    schedule = {bits.name: bits for bits in parse_schedule(config.train.schedule)}
    if stage is not None and stage not in schedule:
        raise UserError(f"--stage: expected one of {', '.join(schedule)}, got {stage!r}")
    bits = schedule[stage] if stage else list(schedule.values())[-1]
    model = folder.load_stage(bits, config, info)
    result = folder.read_stage(bits)
    tokenizer = folder.read_tokenizer()
    sentences = folder.read_sentences()
    return LoadedRun(folder.path, config, info, tokenizer, model, bits, result, sentences)


def is_run(path: Path) -> bool:
    """Whether a folder holds a training run."""
    return (path / "run.json").is_file()


def require_run(path: Path) -> None:
    """Raise UserError unless the folder holds a training run."""
    if not is_run(path):
        what = "a folder without run.json" if path.is_dir() else "no such folder"
        raise UserError(f"{path}: expected the folder of a training run, got {what}")


def check_out(out: Path, *, force: bool) -> None:
    """Raise UserError unless a new run may begin in `out`."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not is_run(out):
        raise UserError(
            f"--out {out}: expected a new folder or a training run, got "
            f"{'other files' if out.is_dir() else 'a file'}; choose another one"
        )
    if not force:
        raise UserError(
            f"--out {out}: expected a new folder, got one that holds a run; go on with it "
            "(--resume), replace it (--force), or choose another one"
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content; UserError where it can't be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: expected a readable file, got: {error.strerror}") from None
