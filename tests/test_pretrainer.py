"""Pre-training over stages: what each learns from, that it goes on, and what it leaves."""

import json
import signal
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from edgebert import pretrainer
from edgebert.cli import main
from edgebert.config import Config, from_dict, to_dict
from edgebert.encoder_folder import FULL, EncoderFolder, PretrainInfo
from edgebert.encoder_loss import EncoderDistiller
from edgebert.errors import UserError
from edgebert.init import encoder_state, load_encoder
from edgebert.interrupt import Interrupted
from edgebert.model import BinaryBert, Output
from edgebert.pretrain import pretrain
from edgebert.pretrainer import Pretrainer
from tests.pretraining import micro, write_teacher, write_text
from tests.trained import ONE

STAGES = "w32a32,w1a2,w1a1"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("source") / "teacher")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text(tmp_path_factory.mktemp("text") / "text.txt")


def run(
    out: Path, teacher: Path, text: Path, config: Config | None = None, **options: object
) -> PretrainInfo:
    given = {"teacher": str(teacher), "text": [text], "max_steps": 100, "progress": False}
    return pretrain(config or micro(schedule=STAGES), out, **{**given, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done(teacher: Path, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pre-training of three stages of 100 steps."""
    out = tmp_path_factory.mktemp("done") / "encoder"
    run(out, teacher, text)
    return out


def hashes(folder: Path) -> dict[str, str | None]:
    return {name: stage.sha256 for name, stage in EncoderFolder(folder).read_info().stages.items()}


def logged(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_losses_of_every_stage_fall(done: Path) -> None:
    lines = logged(done)
    assert [line["stage"] for line in lines] == [n for n in STAGES.split(",") for _ in (50, 100)]
    for first, last in zip(lines[::2], lines[1::2], strict=True):
        for name in ("loss", "relations", "hidden", "sentence"):
            assert last[name] < first[name], (first["stage"], name)


def test_every_stage_leaves_a_file_and_a_record(done: Path) -> None:
    folder = EncoderFolder(done)
    info = folder.read_info()
    assert info.status == "done" and list(info.stages) == STAGES.split(",")
    assert [stage.teacher for stage in info.stages.values()] == ["teacher", "w32a32", "w32a32"]
    assert all(stage.step == 100 and stage.losses["loss"] > 0 for stage in info.stages.values())
    student = BinaryBert(micro().model, micro().arithmetic, 2, ONE)
    expected = {name for name in student.state_dict() if not name.startswith("classifier")}
    state = folder.load_stage(ONE, info)
    assert state.keys() == expected
    assert all(bool(t) for name, t in state.items() if name.endswith("initialized"))


def test_the_pooler_of_a_quantized_student_is_no_one_elses(done: Path) -> None:
    """So a stage's start is not its result."""
    folder = EncoderFolder(done)
    full = folder.load_stage(FULL, folder.read_info())
    state = folder.load_stage(ONE, folder.read_info())
    assert not torch.equal(full["pooler.dense.weight"], state["pooler.weight"])
    assert not torch.equal(full["embeddings.word_embeddings.weight"], state["word.weight"])


@pytest.mark.parametrize(("stage", "step"), [("w32a32", 100), ("w1a2", 100), ("w1a1", 30)])
def test_stopped_in_any_stage_it_goes_on_to_the_same_encoders(
    done: Path,
    teacher: Path,
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    step: int,
) -> None:
    optimize = Pretrainer._optimize

    def stopped(self: Pretrainer) -> None:
        optimize(self)
        if (self.bits.name, self.step) == (stage, step):
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "run"
    monkeypatch.setattr(Pretrainer, "_optimize", stopped)
    where = f"the end of {stage}" if step == 100 else f"step {step} of {stage}"
    with pytest.raises(
        Interrupted, match=f"stopped at {where}; go on with the same command and --resume"
    ):
        run(out, teacher, text)
    folder = EncoderFolder(out)
    assert folder.read_info().status == "interrupted" and not (out / "config.json").exists()
    if step == 100:  # its result is there
        assert hashes(out)[stage] == hashes(done)[stage]
    monkeypatch.setattr(Pretrainer, "_optimize", optimize)
    assert run(out, teacher, text, resume=True).status == "done"
    assert hashes(out) == hashes(done)
    assert [line["step"] for line in logged(out)] == [50, 100] * 3


def same_size(schedule: str = "w1a1") -> Config:
    """The teacher's sizes."""
    sizes = {"layers": 4, "hidden": 24, "heads": 3, "ffn": 40}
    config = to_dict(micro(schedule=schedule))
    return from_dict(config | {"model": config["model"] | sizes})


def test_a_schedule_that_begins_quantized_learns_from_the_teacher_itself(
    teacher: Path, text: Path, tmp_path: Path
) -> None:
    config = to_dict(same_size())
    config = from_dict(config | {"pretrain": config["pretrain"] | {"relation_heads": 3}})
    info = run(tmp_path / "run", teacher, text, config, max_steps=60)
    assert list(info.stages) == ["w32a32", "w1a1"] and info.stages["w32a32"].step == 0
    source = encoder_state(load_encoder(str(teacher), 16, "--teacher"))
    kept = EncoderFolder(tmp_path / "run").load_stage(FULL, info)
    assert all(torch.equal(kept[name], tensor) for name, tensor in source.items())
    first, last = logged(tmp_path / "run")
    assert last["loss"] < first["loss"]


def test_it_keeps_what_is_known_of_a_pretrained_teacher(
    done: Path, text: Path, tmp_path: Path
) -> None:
    info = run(tmp_path / "run", done, text, micro(schedule="w1a1"), max_steps=2)
    before = EncoderFolder(done).read_info().stages["w32a32"]
    assert info.stages["w32a32"] == before and info.stages["w1a1"].step == 2
    assert info.teacher == "encoder"


def test_quantized_students_are_compared_state_by_state() -> None:
    student = BinaryBert(micro().model, micro().arithmetic, 16, ONE)
    model = EncoderDistiller(student, 2, 16, micro().pretrain)
    names = [name for name, _ in model.named_parameters() if not name.startswith("student.")]
    assert names == [] and model.states == [0, 1, 2]
    x = torch.randn(3, 5, 16)
    assert torch.equal(model.projection(1)(x), x)


def test_hours_are_shared_equally(
    teacher: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(0, 10**6, 60))  # seconds: each step takes 60
    monkeypatch.setattr(pretrainer, "perf_counter", lambda: float(next(ticks)))
    config = micro(schedule="w32a32,w1a1", epochs=1000)
    info = run(tmp_path / "run", teacher, text, config, max_steps=None, max_hours=0.5)
    assert [stage.step for stage in info.stages.values()] == [15, 15]
    assert all(stage.seconds == 15 * 60 for stage in info.stages.values())


def test_epochs_and_learning_rates_are_per_stage(teacher: Path, text: Path, tmp_path: Path) -> None:
    rates = {"default": 1e-3, "w1a1": 5e-2}
    config = micro(schedule="w32a32,w1a1", epochs={"w32a32": 0.2, "w1a1": 0.4}, lr=rates)
    info = run(tmp_path / "run", teacher, text, config, max_steps=None)
    assert [stage.step for stage in info.stages.values()] == [5, 10]
    first, second = logged(tmp_path / "run")
    assert first["lr"] < 1e-3 and 1e-3 < second["lr"] < 5e-2


def test_bfloat16_on_a_cpu_is_for_full_precision(
    teacher: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, seen = BinaryBert.forward, set()

    def spy(self: BinaryBert, ids: Tensor, types: Tensor, mask: Tensor) -> Output:
        seen.add((self.bits.name, torch.is_autocast_enabled("cpu")))
        return forward(self, ids, types, mask)

    monkeypatch.setattr(BinaryBert, "forward", spy)
    config = to_dict(micro(schedule="w32a32,w1a1"))
    config["train"]["precision"] = "bf16"
    run(tmp_path / "run", teacher, text, from_dict(config), max_steps=2, device="cpu")
    assert ("w32a32", True) in seen and ("w1a1", False) in seen and ("w1a1", True) not in seen


def test_a_teacher_of_other_sizes_cannot_begin_quantized(
    teacher: Path, text: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"expected model\.layers = 2 of a schedule that begins"):
        run(tmp_path / "run", teacher, text, micro(schedule="w1a1"))
    config = to_dict(same_size("w1a2"))
    config["model"]["ffn"] = 48
    config["pretrain"]["relation_heads"] = 3
    with pytest.raises(UserError, match=r"model\.ffn = 48 .* got 40; choose another teacher"):
        run(tmp_path / "run", teacher, text, from_dict(config))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--schedule", "w1a1,w32a32"], "expected w32a32 first or not at all, got 'w1a1,w32a32'"),
        (["--schedule", "w1a3"], "schedule: expected stages such as"),
        (["--set", "pretrain.lr.w1a9=1"], "schedule: expected stages such as"),
        (["--set", "pretrain.epochs={w1a1: 1}"], "expected a key 'w32a32' or 'default'"),
    ],
)
def test_a_schedule_that_cannot_be_is_one_line(
    options: list[str],
    expected: str,
    teacher: Path,
    text: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "micro.yaml").write_text(yaml.safe_dump(without_epochs(micro())))
    given = ["--config", str(tmp_path / "micro.yaml"), "--teacher", str(teacher)]
    given += ["--text", str(text), "--out", str(tmp_path / "run"), "--max-steps", "1"]
    assert main(["pretrain", *given, *options]) == 2
    assert expected in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "run").exists()


def without_epochs(config: Config) -> dict[str, object]:
    data = to_dict(config)
    del data["pretrain"]["epochs"]
    return data


def test_a_record_of_one_stage_of_before_can_be_read(done: Path) -> None:
    record = asdict(EncoderFolder(done).read_info())
    stage = record.pop("stages")["w32a32"]
    record |= {k: stage[k] for k in ("step", "seconds", "losses")}
    record |= {"model_sha256": stage["sha256"]}
    found = PretrainInfo.from_record(record)
    assert asdict(found.stages["w32a32"]) == stage and list(found.stages) == ["w32a32"]


def test_the_table_has_every_loss_of_any_stage(
    done: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a stage with fewer losses than the full-precision one that it goes on from, too."""
    (tmp_path / "micro.yaml").write_text(yaml.safe_dump(to_dict(micro(relations=0.0))))
    given = ["--config", str(tmp_path / "micro.yaml"), "--teacher", str(done), "--text", str(text)]
    given += ["--schedule", "w1a1", "--max-steps", "2", "--out", str(tmp_path / "encoder")]
    assert main(["pretrain", *given]) == 0
    header, first, second = capsys.readouterr().out.strip().splitlines()
    names = ["loss", "relations", "embedding", "hidden", "sentence"]
    assert header.split() == ["stage", "steps", "hours", *names]
    assert first.split()[:2] == ["w32a32", "100"] and len(first.split()) == 8
    assert second.split()[:2] == ["w1a1", "2"] and len(second.split()) == 7  # no relations
