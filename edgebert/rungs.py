"""The ladder side by side: training, ONNX Runtime, RTL and board, from the results of each.

Read are the folders of runs, exports and builds, and the files that `--json` of `eval`, `verify`
and `simulate` and the board's own `verify` wrote. Nothing is computed anew.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebert.errors import UserError
from edgebert.zoo import model_file, read_index
from hw.integer_model import load_integer_model

MEASURED, SIMULATED = "measured", "simulated"
BOARD = "edgebert board verification"
SIMULATED_ENGINES = ("rtl", "virtual board", "finn")
ORDER = (
    "training",
    "reference",
    "golden",
    "torch",
    "onnxruntime",
    "qonnx",
    "finn",
    "rtl",
    "virtual",
    "board",
)
METRICS = ("accuracy", "matthews", "f1_accuracy")
KINDS = (
    "the folder of a run, an export or a build, or a file that --json of eval, verify or simulate "
    "or the board's verify wrote"
)

Data = Mapping[str, Any]


@dataclass(frozen=True)
class Rung:
    """What one engine was found to do.

    Attributes:
        engine: as `verify` names it.
        how: "measured" on a machine, or "simulated".
        metric: of `score`, on a dev set.
        tokens_per_second: of an accelerator at its clock, as its cycles were counted; of software
            here, by the clock on the wall.
        latency_ms: of one sentence alone, in hardware, the median.
        source: where it was read.
        export: hash of the export's manifest.
        checkpoint: hash of the trained model.
    """

    engine: str
    how: str
    source: str
    task: str | None = None
    sentences: int | None = None
    integers: int | None = None
    mismatches: int | None = None
    metric: str | None = None
    score: float | None = None
    tokens_per_second: float | None = None
    latency_ms: float | None = None
    export: str | None = None
    checkpoint: str | None = None


def read_ladder(paths: Sequence[Path]) -> list[Rung]:
    """The rungs of all results, from training to the board.

    Raises:
        UserError: something else is there, or the results are of different models.
    """
    rungs: list[Rung] = []
    for path in paths:
        rungs += _read(path)
    for what, key in (("export", "export"), ("trained model", "checkpoint")):
        _check_same(rungs, what, key)
    shown = [rung for rung in rungs if rung.engine]
    return sorted(shown, key=lambda rung: _place(rung.engine))


def _place(engine: str) -> int:
    return next((i for i, name in enumerate(ORDER) if engine.startswith(name)), len(ORDER))


def _read(path: Path) -> Iterable[Rung]:
    readers: Mapping[str, Callable[[Path, Data], Iterable[Rung]]] = {
        "run.json": _run,
        "build.json": _build,
        "manifest.json": _export,
    }
    if path.is_dir():
        for name, read in readers.items():
            if (path / name).is_file():
                return _complete(path / name, read, path)
        raise UserError(f"{path}: expected {KINDS}, got another folder")
    return _complete(path, _file, path)


def _complete(file: Path, read: Callable[[Path, Data], Iterable[Rung]], path: Path) -> list[Rung]:
    """All rungs, or one line that names the file that is none."""
    try:
        content = json.loads(file.read_bytes())
        if isinstance(content, dict):
            return list(read(path, content))
    except OSError as error:
        raise UserError(f"{file}: expected {KINDS}, got: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise UserError(f"{file}: expected {KINDS}, got another or a damaged file")


def _file(path: Path, content: Data) -> Iterable[Rung]:
    if content.get("format") == BOARD:
        return _board(path, content)
    if "ideal_cycles_per_token" in content:
        return [_simulation(path, content)]
    if "engines" in content:
        return _verification(path, content)
    return [_evaluation(path, content)]


def _run(path: Path, content: Data) -> Iterable[Rung]:
    """Each finished stage, scored on dev."""
    for file in sorted(path.glob("stage-*/stage.json"), key=lambda file: file.stat().st_mtime_ns):
        stage = json.loads(file.read_bytes())
        yield Rung(
            engine=f"training {stage['stage']}",
            how=MEASURED,
            source=str(path),
            task=content["task"],
            metric=content["metric"],
            score=stage["metrics"][content["metric"]],
            checkpoint=stage["checkpoint_sha256"] if stage["deploy"] else None,
        )


def _export(path: Path, content: Data) -> Iterable[Rung]:
    """What the others must be of; the training of a model of the zoo."""
    digest = hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()
    checkpoint = (content["source"] or {}).get("checkpoint_sha256")
    yield Rung("", "", str(path), export=digest, checkpoint=checkpoint)
    model = read_index().get(str((content["source"] or {}).get("run")).removeprefix("zoo/"))
    if model is None or load_integer_model(model_file(model)).config["source"] != content["source"]:
        return
    for stage, score in model.stages.items():
        yield Rung(
            engine=f"training {stage}",
            how=MEASURED,
            source=f"zoo/{model.name}",
            task=model.task,
            sentences=model.sentences,
            metric=model.metric,
            score=score,
        )


def _build(path: Path, content: Data) -> Iterable[Rung]:
    """The simulations that the build's report keeps."""
    export = content["request"]["export"]
    yield Rung("", "", str(path), export=export)
    for file in sorted((path / "report").glob("simulation*.json")):
        yield _simulation(path, {**json.loads(file.read_bytes()), "manifest_sha256": export})


def _simulation(path: Path, content: Data) -> Rung:
    metric = next((name for name in METRICS if name in content), None)
    return Rung(
        engine="rtl accelerator" + (", stalled" if content["stalls"] else ""),
        how=SIMULATED,
        source=str(path),
        task=content["task"],
        sentences=content["sentences"],
        integers=content["integers"],
        mismatches=content["mismatches"],
        metric=metric,
        score=None if metric is None else content[metric],
        tokens_per_second=content["predicted_tokens_per_s"],
        export=content["manifest_sha256"],
    )


def _verification(path: Path, content: Data) -> Iterable[Rung]:
    return [_rung(row, row, path, content) for row in content["engines"] if "integers" in row]


def _board(path: Path, content: Data) -> Iterable[Rung]:
    """Golden sentences, and the dev set with its figures."""
    golden, dev = content["engines"]
    return [_rung(golden, {}, path, content), _rung(dev, content, path, content)]


def _rung(row: Data, figures: Data, path: Path, content: Data) -> Rung:
    name = str(row["engine"])
    return Rung(
        engine=name,
        how=SIMULATED if name.startswith(SIMULATED_ENGINES) else MEASURED,
        source=str(path),
        task="golden sentences" if "golden" in name else content["task"],
        sentences=row["sentences"],
        integers=row["integers"],
        mismatches=row["mismatches"],
        metric=content["metric"],
        score=row["score"],
        tokens_per_second=figures.get("throughput", {}).get("tokens_per_second"),
        latency_ms=figures.get("latency", {}).get("hardware_ms", {}).get("median"),
        export=content["manifest_sha256"],
    )


def _evaluation(path: Path, content: Data) -> Rung:
    (metric, score), *_ = content["metrics"].items()
    torch = content["engine"] == "torch"
    return Rung(
        engine=f"torch {content['stage']}" if torch else f"onnxruntime {content['file']}",
        how=MEASURED,
        source=str(path),
        task=content["task"],
        sentences=content["sentences"],
        metric=metric,
        score=score,
        export=content.get("export_sha256"),
    )


def table(rungs: Sequence[Rung]) -> tuple[list[str], list[list[str]]]:
    """Header and rows, a rung each."""
    header = ["engine", "", "task", "sentences", "mismatches", "score", "tokens/s", "latency ms"]
    rows = []
    for rung in rungs:
        mismatches = "" if rung.integers is None else f"{rung.mismatches:,} of {rung.integers:,}"
        score = "" if rung.score is None else f"{rung.metric} {rung.score:.4f}"
        rows.append(
            [
                rung.engine,
                rung.how,
                rung.task or "",
                "" if rung.sentences is None else f"{rung.sentences:,}",
                mismatches,
                score,
                "" if rung.tokens_per_second is None else f"{rung.tokens_per_second:,.0f}",
                "" if rung.latency_ms is None else f"{rung.latency_ms:.3f}",
            ]
        )
    return header, rows


def _check_same(rungs: Sequence[Rung], what: str, key: str) -> None:
    found = {getattr(rung, key): rung.source for rung in rungs if getattr(rung, key)}
    if len(found) > 1:
        (one, here), (other, there), *_ = found.items()
        raise UserError(
            f"{there}: expected results of one {what}, that of {here} ({one[:12]}), "
            f"got those of another ({other[:12]})"
        )
