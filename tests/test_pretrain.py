"""Pre-training on plain text: what it learns from, that it goes on, and what starts from it."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from edgebert import pretrainer
from edgebert.cli import main
from edgebert.config import from_dict, to_dict
from edgebert.corpus import read_text
from edgebert.encoder_folder import EncoderFolder
from edgebert.errors import UserError
from edgebert.init import encoder_state, initialise, load_encoder
from edgebert.interrupt import Interrupted
from edgebert.model import BinaryBert
from edgebert.pretrain import pretrain
from edgebert.pretrainer import Pretrainer
from tests.micro import write_reviews
from tests.pretraining import micro, write_teacher, write_text
from tests.trained import FULL


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text(tmp_path_factory.mktemp("text") / "text.txt")


def logged(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def done(teacher: Path, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pre-training of 100 steps."""
    out = tmp_path_factory.mktemp("done") / "encoder"
    pretrain(micro(), out, teacher=str(teacher), text=[text], max_steps=100, progress=False)
    return out


def test_every_loss_falls(done: Path) -> None:
    first, *_, last = logged(done)
    for name in ("loss", "relations", "hidden", "embedding", "sentence"):
        assert last[name] < first[name], name
    info = EncoderFolder(done).read_info()
    stage = info.stages["w32a32"]
    assert (info.status, stage.step, info.sources) == ("done", 100, ("text.txt",))
    assert stage.losses["loss"] == last["loss"]


def test_the_learning_rate_rises_and_falls_to_almost_nothing(done: Path) -> None:
    rates = [line["lr"] for line in logged(done)]
    assert rates == sorted(rates, reverse=True) and rates[0] > 5e-3 and rates[-1] < 2e-4


def test_a_stopped_run_goes_on_to_the_same_encoder(
    done: Path, teacher: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimize = Pretrainer._optimize

    def stopped_at_70(self: Pretrainer) -> None:
        optimize(self)
        if self.step == 70:
            signal.raise_signal(signal.SIGINT)

    def run(resume: bool) -> None:
        pretrain(
            micro(),
            tmp_path / "run",
            teacher=str(teacher),
            text=[text],
            max_steps=100,
            resume=resume,
            progress=False,
        )

    monkeypatch.setattr(Pretrainer, "_optimize", stopped_at_70)
    with pytest.raises(
        Interrupted, match="stopped at step 70 of w32a32; go on with the same command and --resume"
    ):
        run(resume=False)
    folder = EncoderFolder(tmp_path / "run")
    assert folder.read_info().status == "interrupted" and not (folder.path / "config.json").exists()
    run(resume=True)
    before, after = (EncoderFolder(path).read_info() for path in (done, folder.path))
    assert after.status == "done"
    assert after.stages["w32a32"].sha256 == before.stages["w32a32"].sha256
    assert [line["step"] for line in logged(folder.path)] == [50, 100]


def test_transformers_and_edgebert_read_the_same_encoder(done: Path) -> None:
    from transformers import AutoModel

    bert = AutoModel.from_pretrained(done, local_files_only=True).eval()
    ours = load_encoder(str(done), 16, "--init")
    assert set(encoder_state(ours)) <= set(bert.state_dict())
    ids = torch.tensor([[2, 6, 9, 12, 3], [2, 7, 3, 0, 0]])
    mask = (ids != 0).long()
    with torch.no_grad():
        theirs = bert(input_ids=ids, attention_mask=mask).last_hidden_state
        states = ours(ids, torch.zeros_like(ids), mask).hidden[-1]
    torch.testing.assert_close(states[mask.bool()], theirs[mask.bool()], rtol=1e-4, atol=1e-4)


def test_a_training_starts_from_the_encoder(done: Path, tmp_path: Path) -> None:
    config = to_dict(micro()) | {"train": {"schedule": "w32a32", "epochs": 1, "batch_size": 8}}
    (tmp_path / "micro.yaml").write_text(yaml.safe_dump(config))
    data, out = write_reviews(tmp_path / "data"), tmp_path / "run"
    given = ["--config", str(tmp_path / "micro.yaml"), "--task", "csv", "--data", str(data)]
    assert main(["train", *given, "--init", str(done), "--out", str(out)]) == 0
    assert (out / "stage-w32a32" / "model.safetensors").is_file()
    model = BinaryBert(micro().model, micro().arithmetic, 2, FULL)
    initialise(model, str(done))
    source = encoder_state(load_encoder(str(done), 16, "--init"))
    for name, tensor in encoder_state(model).items():
        assert torch.equal(tensor, source[name]), name


def sized(**sizes: int) -> BinaryBert:
    config = from_dict({"model": {**to_dict(micro())["model"], **sizes}})
    return BinaryBert(config.model, config.arithmetic, 2, FULL)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [({"layers": 1}, "model.layers = 2"), ({"hidden": 8}, "model.hidden = 16")],
)
def test_another_size_than_the_encoders_is_an_error(
    done: Path, sizes: dict[str, int], expected: str
) -> None:
    with pytest.raises(UserError, match=f"expected {expected} as it was pre-trained with, got"):
        initialise(sized(**sizes), str(done))


def test_an_unfinished_encoder_is_an_error(done: Path, tmp_path: Path) -> None:
    for name in ("pretrain.json", "config.yaml", "vocab.txt"):
        (tmp_path / name).write_bytes((done / name).read_bytes())
    with pytest.raises(UserError, match="expected a finished pre-training, got one that is done"):
        initialise(sized(), str(tmp_path))


def test_a_bound_in_hours_ends_the_run_with_a_small_learning_rate(
    teacher: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(0, 10**6, 60))  # seconds: each step takes 60
    monkeypatch.setattr(pretrainer, "perf_counter", lambda: float(next(ticks)))
    info = pretrain(
        micro(epochs=1000),
        tmp_path / "run",
        teacher=str(teacher),
        text=[text],
        max_hours=0.9,  # 54 steps
        progress=False,
    )
    stage = info.stages["w32a32"]
    assert (stage.step, stage.seconds) == (54, 54 * 60)
    rates = [line["lr"] for line in logged(tmp_path / "run")]
    assert len(rates) == 2 and rates[1] < rates[0] < 2e-3 and rates[1] < 1e-4


def test_a_student_wider_than_its_teacher_starts_at_random(
    teacher: Path, text: Path, tmp_path: Path
) -> None:
    config = from_dict(to_dict(micro()) | {"model": {**to_dict(micro())["model"], "hidden": 32}})
    said: list[str] = []
    info = pretrain(
        config,
        tmp_path / "run",
        teacher=str(teacher),
        text=[text],
        max_steps=2,
        progress=False,
        say=said.append,
    )
    assert info.status == "done"
    assert any("start is random" in line and "4 layers of width 24" in line for line in said)


def write_glue(folder: Path) -> Path:
    """SST-2 and RTE of a few rows."""
    for name, header, train, dev in (
        ("SST-2", "sentence\tlabel", ["a warm film\t1", "Dull people !\t0"], ["the story is\t1"]),
        (
            "RTE",
            "index\tsentence1\tsentence2\tlabel",
            ["0\tPeople meet.\tA film.\tentailment", "1\tA story.\tThe story is.\tentailment"],
            ["0\tIt is cold.\tGood film\tentailment"],
        ),
    ):
        (folder / name).mkdir(parents=True)
        for split, rows in (("train", train), ("dev", dev)):
            (folder / name / f"{split}.tsv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_train_sets_come_too_and_dev_sentences_never(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("IT IS, cold\nwarm people\nA warm film!\ngood, film.\n...\n")
    found = read_text([file], None, write_glue(tmp_path / "glue"))
    # `The story is.` of an RTE pair and two lines stand in a dev set; `A warm film!` came before.
    texts = [(example.text, example.text_b) for example in found.examples]
    assert texts == [
        ("a warm film", None),
        ("Dull people !", None),
        ("People meet.", "A film."),
        ("warm people", None),
    ]
    assert found.sources == ("sst2", "rte", "text.txt")
    assert all(example.label is None for example in found.examples)
    one = read_text([file], "sst2", tmp_path / "glue")
    assert ("IT IS, cold", None) in [(e.text, e.text_b) for e in one.examples]


def test_without_a_file_the_text_is_of_imdb(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgebert import corpus

    monkeypatch.setattr(corpus, "review_rows", lambda source: [("I liked it. Me too, it is.", "1")])
    found = read_text([], None, None)
    assert [e.text for e in found.examples] == ["I liked it.", "Me too, it is."]
    assert found.sources == ("imdb",)


def no_text(tmp: Path) -> list[str]:
    return ["--text", str(tmp / "missing.txt")]


def empty_text(tmp: Path) -> list[str]:
    (tmp / "empty.txt").write_text("\n \n")
    return ["--text", str(tmp / "empty.txt")]


def only_dev(tmp: Path) -> list[str]:
    (tmp / "dev.txt").write_text("The story is\n")
    data = write_glue(tmp / "glue")
    for path in (data / "SST-2").glob("train.tsv"):
        path.write_text("sentence\tlabel\nthe story is\t1\n")
    return ["--text", str(tmp / "dev.txt"), "--task", "sst2", "--data", str(data)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (no_text, "missing.txt: expected a readable file"),
        (empty_text, "empty.txt: expected text, got an empty file"),
        (only_dev, "expected sentences that are in no dev set, got none"),
        (lambda tmp: ["--data", str(tmp)], "expected folders of GLUE tasks"),
        (lambda tmp: ["--teacher", str(tmp)], "--teacher"),
        (lambda tmp: ["--max-hours", "0"], "--max-hours: expected a number above 0, got 0.0"),
        (lambda tmp: ["--max-steps", "0"], "--max-steps: expected a number of 1 or more, got 0"),
        (lambda tmp: ["--set", "pretrain.relation_heads=5"], "expected a divisor of the width 24"),
        (lambda tmp: ["--set", "pretrain.hidden=-1"], "pretrain.hidden: expected a number of at"),
        (lambda tmp: ["--lr", "0"], "pretrain.lr.default: expected a positive number"),
        (lambda tmp: ["--resume"], "expected the folder of a pre-training, got no such folder"),
        (lambda tmp: ["--out", str(tmp)], "expected a new folder or a pre-training, got other"),
        (lambda tmp: ["--set", "model.max_tokens=17"], "model.max_tokens of at most 16, got 17"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    given: Callable[[Path], list[str]],
    expected: str,
    teacher: Path,
    text: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "other").write_text("")
    (tmp_path / "micro.yaml").write_text(yaml.safe_dump(to_dict(micro())))
    options = given(tmp_path)
    base = ["--config", str(tmp_path / "micro.yaml"), "--device", "cpu", "--max-steps", "1"]
    base += ["--out", str(tmp_path / "run"), "--teacher", str(teacher)]
    base += [] if "--text" in options else ["--text", str(text)]
    assert main(["pretrain", *base, *options]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert expected in error[-1] and error[-1].startswith("edgebert: error: ")
    assert not any("Traceback" in line for line in error)
    assert not (tmp_path / "run").exists()


def test_going_on_with_other_text_is_an_error(done: Path, teacher: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("good film\nbad film\n")
    with pytest.raises(UserError, match="--resume: expected --text, --task, --data ="):
        pretrain(
            micro(),
            done,
            teacher=str(teacher),
            text=[tmp_path / "other.txt"],
            max_steps=100,
            resume=True,
        )
    with pytest.raises(UserError, match="got one that holds a pre-training; go on with it"):
        pretrain(micro(), done, teacher=str(teacher), text=[tmp_path / "other.txt"])
