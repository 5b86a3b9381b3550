"""The models that ship: whole, usable, and as good as their cards say."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgebert import zoo
from edgebert.cli import main
from edgebert.data import TaskData
from edgebert.errors import UserError
from edgebert.scoring import open_scorer, score_task, sentences_of
from edgebert.tasks import load_task
from edgebert.zoo import ZooModel, find, model_file, read_index
from export.package import golden_sentences
from hw.integer_model import load_integer_model
from hw.reference import float_product, logits

MODELS = list(read_index().values())
OWN = ["A fine, moving story, told with care.", "Dull from the first minute to the last."]


@pytest.fixture(scope="module", params=MODELS, ids=lambda model: model.name)
def model(request: pytest.FixtureRequest) -> ZooModel:
    return request.param


@pytest.fixture(scope="module")
def export(model: ZooModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("zoo") / model.name
    assert main(["zoo", "get", model.name, "--out", str(out)]) == 0
    return out


def task_of(model: ZooModel, request: pytest.FixtureRequest) -> TaskData:
    """The model's task; skips where its data are not at hand."""
    if model.task == "reviews":
        return load_task("reviews")
    return load_task(model.task, request.getfixturevalue("glue"))


def test_every_model_has_a_card_that_states_its_figures(model: ZooModel) -> None:
    card = (zoo.FOLDER / f"{model.name}.md").read_text(encoding="utf-8")
    assert card.startswith(f"# {model.name}\n")
    for value in (*model.stages.values(), model.w1a1_float):
        assert f"{100 * value:.1f}" in card


def test_an_export_computes_the_reference_on_own_sentences(export: Path) -> None:
    integers = load_integer_model(export / "integer.safetensors")
    scorer = open_scorer(export)
    pairs = integers.dimensions.token_types > 1 and scorer.task in ("mrpc", "rte", "stsb")
    encoded = scorer.tokenizer.encode_batch([(text, OWN[0] if pairs else None) for text in OWN])
    ours = [(e.input_ids, e.token_type_ids) for e in encoded]
    golden = [(ids.tolist(), types.tolist()) for ids, types in golden_sentences(integers)]
    from export.sessions import OrtSession

    found = OrtSession(export / "model.onnx").logits(ours + golden)
    expected = [logits(integers, ids, types, float_product) for ids, types in ours + golden]
    assert np.array_equal(found, expected)


def test_dev_metric_is_the_index_s_to_the_last_digit(
    model: ZooModel, export: Path, request: pytest.FixtureRequest
) -> None:
    task = task_of(model, request)
    report = score_task(open_scorer(export), task, lambda line: None)
    assert report["metrics"][model.metric] == model.w1a1
    assert report["sentences"] == model.sentences


def test_no_sentence_of_a_data_set_ships(
    model: ZooModel, export: Path, request: pytest.FixtureRequest
) -> None:
    scorer, task = open_scorer(export), task_of(model, request)
    split = scorer.encode(task.dev, "dev sentences", lambda line: None)
    dev = {tuple(ids) for ids, _ in sentences_of(split)}
    integers = load_integer_model(export / "integer.safetensors")
    assert not any(tuple(ids.tolist()) in dev for ids, _ in golden_sentences(integers))


def test_the_report_begins_with_the_training_of_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = MODELS[-1], tmp_path / "export"
    assert main(["zoo", "get", model.name, "--out", str(out), "--target", "pynq"]) == 0
    capsys.readouterr()
    assert main(["report", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["training", stage] for stage in model.stages
    ]
    assert f"{model.metric} {model.w1a1:.4f}" in lines[-1]


def test_the_list_shows_every_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "list", "--json", str(tmp_path / "zoo.json")]) == 0
    lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines[1:]] == [m.name for m in MODELS]
    listed = json.loads((tmp_path / "zoo.json").read_text())["models"]
    assert [entry["name"] for entry in listed] == [m.name for m in MODELS]


def test_an_unknown_name_is_an_error_that_names_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["zoo", "get", "tiny-sst", "--out", str(tmp_path / "x")]) == 2
    assert "did you mean tiny-sst2?" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    first = MODELS[0]
    shutil.copytree(zoo.FOLDER, tmp_path / "zoo")
    file = tmp_path / "zoo" / f"{first.name}.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="truncated or changed"):
        model_file(find(first.name, tmp_path / "zoo"), tmp_path / "zoo")
    file.unlink()
    with pytest.raises(UserError, match="expected a file of the zoo"):
        model_file(first, tmp_path / "zoo")
