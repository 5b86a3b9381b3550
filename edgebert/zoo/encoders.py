"""The zoo's pre-trained encoders: what `--init NAME` starts from.

    zoo/NAME.zip           a folder of `edgebert pretrain`, its matrices with eight bits a value,
                           six in quantized stages
    zoo/NAME.md            its model card
    zoo/encoders.json      hashes and figures; `python -m benchmarks.make_zoo_encoder` writes it

A name is that of the configuration, such as `mini`. An encoder is unpacked where it is asked for:
to float32, in the layout of transformers.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgebert.config import parse_schedule
from edgebert.errors import UserError
from edgebert.zoo import FOLDER, checked_content
from hw.cache import cache_folder

if TYPE_CHECKING:
    from torch import Tensor

ENCODERS = "encoders.json"
PACKED = "packed.safetensors"
FILES = ("config.yaml", "vocab.txt", "tokenizer_config.json", "config.json")
SCALE = ".scale"
LARGEST = 127  # of a packed value
LARGEST_LATENT = 31  # of one whose sign is what counts; deflate leaves out the other bits
WORDS = "word.weight"
FLOAT_TABLES = ("position.weight", "token_type.weight")  # of a quantized stage
EPOCH = (1980, 1, 1, 0, 0, 0)  # of a zip's files: equal encoders give equal bytes


@dataclass(frozen=True)
class ZooEncoder:
    """A pre-trained encoder of the zoo.

    Attributes:
        name: of the configuration.
        sha256, bytes: of its file.
        teacher: what its full-precision stage learned from.
        sources: of the text.
        sentences: of the text; step: optimizer steps; seconds: of training, on 1 CPU core.
        losses: the last ones of the training.
        stages: that it holds. Steps, seconds and losses are those of full precision.
    """

    name: str
    sha256: str
    bytes: int
    teacher: str
    sources: tuple[str, ...]
    sentences: int
    step: int
    seconds: int
    losses: Mapping[str, float]
    stages: tuple[str, ...] = ("w32a32",)


def read_encoders(folder: Path = FOLDER) -> dict[str, ZooEncoder]:
    """The encoders of the zoo by name; none if there are none."""
    path = folder / ENCODERS
    if not path.is_file():
        return {}
    entries = json.loads(path.read_text(encoding="utf-8"))
    for entry in entries:
        entry.update({key: tuple(entry[key]) for key in ("sources", "stages") if key in entry})
    return {entry["name"]: ZooEncoder(**entry) for entry in entries}


def write_encoders(encoders: Mapping[str, ZooEncoder], folder: Path = FOLDER) -> None:
    """Replace the index."""
    entries = [asdict(encoders[name]) for name in sorted(encoders)]
    (folder / ENCODERS).write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def local_encoder(source: str) -> str:
    """The folder of an encoder of the zoo, unpacked once; any other source as it is.

    A folder of that name in the working directory comes first.
    """
    encoders = read_encoders()
    if source not in encoders or Path(source).is_dir():
        return source
    encoder = encoders[source]
    folder = cache_folder() / "encoders" / f"{encoder.name}-{encoder.sha256[:16]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            unpack_encoder(encoder, fresh)
            os.rename(fresh, folder)  # fails where another process was faster
        except OSError:
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return str(folder)


def pack_encoder(source: Path) -> bytes:
    """The zip of a pre-training; UserError unless it is finished."""
    import safetensors.torch

    from edgebert.encoder_folder import FULL, EncoderFolder

    folder = EncoderFolder(source)
    info = folder.read_info()
    if info.status != "done":
        raise UserError(
            f"{source}: expected a finished pre-training, got one that is {info.status}"
        )
    content = {name: (source / name).read_bytes() for name in FILES if (source / name).is_file()}
    content["info.json"] = (json.dumps(asdict(info), indent=1) + "\n").encode()
    for name in info.stages:
        bits = parse_schedule(name)[0]
        state = folder.load_stage(bits, info)
        packed = pack(state) if bits == FULL else pack_quantized(state)
        content[packed_file(name)] = safetensors.torch.save(packed, {"format": "pt"})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in sorted(content.items()):
            entry = zipfile.ZipInfo(name, date_time=EPOCH)
            archive.writestr(entry, data, compress_type=zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def unpack_encoder(encoder: ZooEncoder, out: Path, folder: Path = FOLDER) -> None:
    """Write an encoder as the folder that `edgebert pretrain` leaves, without its log.

    Raises:
        UserError: its file has not the hash of the index.
    """
    import safetensors.torch

    from edgebert.encoder_folder import EncoderFolder, PretrainInfo

    content = checked_content(folder / f"{encoder.name}.zip", encoder.sha256)
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in set(FILES) & set(archive.namelist()):
            (out / name).write_bytes(archive.read(name))
        info = PretrainInfo.from_record(json.loads(archive.read("info.json")))
        for name, stage in info.stages.items():
            state = unpack(safetensors.torch.load(archive.read(packed_file(name))))
            info = EncoderFolder(out).write_stage(parse_schedule(name)[0], state, info, stage)


def packed_file(stage: str) -> str:
    """The name of a stage's file in the zip."""
    return PACKED if stage == "w32a32" else f"{stage}-{PACKED}"


def pack(state: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """Matrices as int8 rows and a float32 scale for each; all else as it is."""
    import torch

    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim != 2:
            packed[name] = tensor
            continue
        scale = tensor.abs().amax(-1, keepdim=True).clamp_min(1e-30) / LARGEST
        packed[name] = (tensor / scale).round().to(torch.int8)
        packed[name + SCALE] = scale
    return packed


def pack_quantized(state: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """As `pack`, but the latent values of binary matrices on 62 levels about their mean, without 0.

    So the signs stay, and the scales are stretched to keep the mean magnitude: binarized, a matrix
    (or a word's row, about its own mean) is what it was.
    """
    import torch

    from edgebert.quantizers import weight_signs

    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim != 2 or name in FLOAT_TABLES:
            packed |= pack({name: tensor})
            continue
        dim = -1 if name == WORDS else None
        signs, magnitude = weight_signs(tensor, dim)
        distance = (tensor - tensor.mean(dim, keepdim=True)).abs()
        scale = distance.amax(-1, keepdim=True).clamp_min(1e-30) / LARGEST_LATENT
        levels = (distance / scale).round().clamp_min(1)
        packed[name] = (signs * levels).to(torch.int8)
        packed[name + SCALE] = scale * magnitude / (levels * scale).mean(dim, keepdim=True)
    return packed


def unpack(packed: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """What was packed, in float32; of `pack`, each value within half a scale of the original."""
    return {
        name: tensor.float() * packed[name + SCALE] if name + SCALE in packed else tensor
        for name, tensor in packed.items()
        if not name.endswith(SCALE)
    }


def zoo_encoder(name: str, source: Path, content: bytes) -> ZooEncoder:
    """The entry of a pre-training that was packed."""
    from edgebert.encoder_folder import FULL, EncoderFolder

    info = EncoderFolder(source).read_info()
    stage = info.stages[FULL.name]
    return ZooEncoder(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        teacher=stage.teacher,
        sources=info.sources,
        sentences=info.sentences,
        step=stage.step,
        seconds=round(stage.seconds),
        losses={name: round(value, 4) for name, value in stage.losses.items()},
        stages=tuple(info.stages),
    )
