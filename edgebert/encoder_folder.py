"""The folder of a pre-training: a BERT encoder as transformers saves it, and how it came about.

model.safetensors  config.json     the full-precision encoder: `--init` and transformers read it,
vocab.txt  tokenizer_config.json     once config.json is there, which is written last
w1a1.safetensors                   each quantized stage: its BinaryBert without the classifier
pretrain.json  config.yaml         what it was started with, and the hashes of these files
metrics.jsonl  tensorboard/  checkpoint/
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from edgebert.config import Bits, Config, ModelConfig, from_dict, to_dict
from edgebert.errors import UserError
from edgebert.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

RECORD = "pretrain.json"
MODEL = "model.safetensors"
FORMAT = 1
FULL = Bits(32, 32)


@dataclass(frozen=True)
class StageInfo:
    """How far a stage of a pre-training came, and what it learned from."""

    teacher: str
    step: int = 0
    seconds: float = 0.0
    losses: Mapping[str, float] = field(default_factory=dict)  # the last logged
    sha256: str | None = None  # of its file, once it is finished


@dataclass(frozen=True)
class PretrainInfo:
    """What a pre-training was started with, beside its configuration, and how far it came."""

    teacher: str
    sources: tuple[str, ...]  # of the text: names of files, data sets and tasks
    sentences: int
    text_sha256: str
    max_steps: int | None
    max_hours: float | None
    status: str = "running"  # running | interrupted | done
    stages: Mapping[str, StageInfo] = field(default_factory=dict)  # by name, in their order
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "PretrainInfo":
        """From plain data, such as asdict gives."""
        values = {f.name: record[f.name] for f in fields(cls) if f.name in record}
        if "stages" not in record:  # of a time when there was one
            names = ("teacher", "step", "seconds", "losses")
            stage = {name: record[name] for name in names} | {"sha256": record["model_sha256"]}
            values["stages"] = {FULL.name: stage}
        stages = {name: StageInfo(**stage) for name, stage in values["stages"].items()}
        return cls(**{**values, "sources": tuple(values["sources"]), "stages": stages})

    def with_stage(self, bits: Bits, stage: StageInfo) -> "PretrainInfo":
        """The same with a stage added or replaced."""
        return replace(self, stages={**self.stages, bits.name: stage})


class EncoderFolder:
    """Reads and writes the folder of one pre-training."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = CheckpointFolder(path / "checkpoint")
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"

    @classmethod
    def create(
        cls, out: Path, config: Config, info: PretrainInfo, tokenizer: Tokenizer
    ) -> "EncoderFolder":
        """Begin: the folder is made beside its place, and takes that of an older one when whole."""
        out = out.resolve()
        with new_folder(out) as fresh:
            tokenizer.save(fresh)
            text = yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)
            write_atomic(fresh / "config.yaml", text.encode())
            cls(fresh).write_info(info)
        return cls(out)

    def write_info(self, info: PretrainInfo) -> None:
        """Replace pretrain.json."""
        write_record(self.path / RECORD, {"format": FORMAT, **asdict(info)})

    def read_info(self) -> PretrainInfo:
        """Read pretrain.json. Raises UserError unless it is one of this format."""
        if not is_pretraining(self.path):
            what = f"a folder without {RECORD}" if self.path.is_dir() else "no such folder"
            raise UserError(f"{self.path}: expected the folder of a pre-training, got {what}")
        record = read_record(self.path / RECORD)
        if record.get("format") != FORMAT:
            raise UserError(
                f"{self.path}: expected a pre-training of format {FORMAT}, got "
                f"{record.get('format')}; use the version of edgebert that wrote it"
            )
        return PretrainInfo.from_record(record)

    def read_config(self) -> Config:
        """The configuration of the pre-training."""
        return from_dict(yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8")))

    def write_stage(
        self, bits: Bits, tensors: Mapping[str, "Tensor"], info: PretrainInfo, stage: StageInfo
    ) -> PretrainInfo:
        """Save a finished stage: of full precision in BERT's names, else in BinaryBert's."""
        sha256 = save_tensors(self.path / stage_file(bits), tensors, {"format": "pt"})
        info = info.with_stage(bits, replace(stage, sha256=sha256))
        self.write_info(info)
        return info

    def load_stage(self, bits: Bits, info: PretrainInfo) -> dict[str, "Tensor"]:
        """What `write_stage` saved. Raises UserError unless the file is the one that info names."""
        sha256 = info.stages[bits.name].sha256
        assert sha256 is not None
        return load_tensors(self.path / stage_file(bits), sha256)

    def finish(self, model: ModelConfig, info: PretrainInfo, pad_id: int) -> PretrainInfo:
        """Let the encoder be read, and say that it is done."""
        content = json.dumps(bert_config(model, pad_id), indent=2) + "\n"
        write_atomic(self.path / "config.json", content.encode())
        info = replace(info, status="done")
        self.write_info(info)
        return info


def stage_file(bits: Bits) -> str:
    """The name of a stage's file."""
    return MODEL if bits == FULL else f"{bits.name}.safetensors"


def bert_config(model: ModelConfig, pad_id: int) -> dict[str, object]:
    """config.json of transformers' BertModel of a model's sizes."""
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": model.vocab,
        "hidden_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "intermediate_size": model.ffn,
        "hidden_act": model.activation,
        "max_position_embeddings": model.max_tokens,
        "type_vocab_size": model.token_types,
        "layer_norm_eps": model.layer_norm_eps,
        "pad_token_id": pad_id,
    }


def is_pretraining(path: Path) -> bool:
    """Whether a folder holds a pre-training, done or not."""
    return (path / RECORD).is_file()


def check_encoder(source: str, model: ModelConfig, option: str = "--init") -> None:
    """Raise UserError unless a pre-training is done and of a model's sizes.

    A source that is none passes. option: what errors name.
    """
    path = Path(source)
    if not is_pretraining(path):
        return
    folder = EncoderFolder(path)
    if not (path / "config.json").is_file():
        raise UserError(
            f"{option} {source}: expected a finished pre-training, got one that is "
            f"{folder.read_info().status}; go on with edgebert pretrain --resume"
        )
    check_sizes(folder.read_config().model, model, f"{option} {source}", "pre-trained")


def check_sizes(theirs: ModelConfig, ours: ModelConfig, what: str, made: str = "trained") -> None:
    """Raise UserError unless an encoder has a model's sizes.

    what: the option that names the encoder; made: how it came about.
    """
    for name in ("layers", "hidden", "heads", "ffn"):
        was, now = getattr(theirs, name), getattr(ours, name)
        if was != now:
            raise UserError(
                f"{what}: expected model.{name} = {was} as it was {made} with, "
                f"got {now}; choose the same --config"
            )


def check_new(out: Path, *, force: bool) -> None:
    """Raise UserError unless a new pre-training may begin in `out`."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not is_pretraining(out):
        raise UserError(
            f"--out {out}: expected a new folder or a pre-training, got "
            f"{'other files' if out.is_dir() else 'a file'}; choose another one"
        )
    if not force:
        raise UserError(
            f"--out {out}: expected a new folder, got one that holds a pre-training; go on with "
            "it (--resume), replace it (--force), or choose another one"
        )
