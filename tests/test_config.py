import dataclasses
from pathlib import Path

import pytest

from edgebert.config import (
    CONFIG_DIR,
    RECIPE_DIR,
    Bits,
    from_dict,
    load_config,
    parse_schedule,
    stage_value,
    to_dict,
)
from edgebert.errors import UserError

NAMES = sorted(path.stem for path in CONFIG_DIR.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_named_configs_load_and_round_trip(name: str) -> None:
    config = load_config(name)
    assert config.model.hidden == config.model.heads * config.model.head_width
    assert from_dict(to_dict(config)) == config


@pytest.mark.parametrize("name", NAMES)
def test_named_configs_spell_out_every_parameter(name: str) -> None:
    import yaml

    data = yaml.safe_load((CONFIG_DIR / f"{name}.yaml").read_text(encoding="utf-8"))
    config = load_config(name)
    for field in dataclasses.fields(config):
        section = getattr(config, field.name)
        assert set(data[field.name]) == {f.name for f in dataclasses.fields(section)}


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPE_DIR.glob("*.yaml")))
def test_recipes_train_a_named_size(name: str) -> None:
    size = name.split("-")[0]
    config, named = load_config(name), load_config(size)
    assert config.model == named.model and config.arithmetic == named.arithmetic
    assert config.train != named.train and config.train.held_out > 0  # dev chooses nothing


def test_sizes_are_the_published_ones() -> None:
    shapes = {
        name: (m.layers, m.hidden, m.heads, m.ffn)
        for name in NAMES
        for m in [load_config(name).model]
    }
    assert shapes == {
        "tiny": (2, 128, 2, 512),
        "mini": (4, 256, 4, 1024),
        "small": (4, 512, 8, 2048),
        "minilm": (6, 384, 12, 1536),
        "base": (12, 768, 12, 3072),
    }


def test_overrides_change_one_value() -> None:
    config = load_config("tiny", ["train.lr=1e-3", "model.layers=3", "distill.text=extra.txt"])
    assert config.train.lr["default"] == 1e-3
    assert config.model.layers == 3 and config.model.hidden == 128
    assert config.distill.text == ("extra.txt",)
    assert load_config("tiny", ["distill.text=null"]).distill.text == ()
    assert load_config("tiny", ["distill.text=[a.txt, b.txt]"]).distill.text == ("a.txt", "b.txt")


def test_override_of_one_stage_keeps_the_others() -> None:
    before, after = load_config("tiny"), load_config("tiny", ["train.lr.w1a1=1e-4"])
    assert after.train.lr == {**before.train.lr, "w1a1": 1e-4}


def test_yaml_file_changes_its_base(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: mini\ntrain:\n  lr: 5e-4\n  weight_decay: 1e-2\n", encoding="utf-8")
    config = load_config(str(path))
    assert config.model == load_config("mini").model
    # Plain YAML reads 5e-4, without a point, as a string.
    assert stage_value(config.train.lr, Bits(1, 1)) == 5e-4
    assert config.train.weight_decay == 0.01


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.batchsize=8", "unknown key train.batchsize; did you mean train.batch_size"),
        ("modle.layers=2", "unknown key modle; did you mean model"),
        ("train.zzz=8", "unknown key train.zzz; known: schedule"),
        ("train.batch_size=many", "train.batch_size: expected int, got 'many'"),
        ("train.batch_size=true", "train.batch_size: expected int, got True"),
        ("train.warmup=soon", "train.warmup: expected float, got 'soon'"),
        ("train.lr=-1", "train.lr.default: expected a positive number, got -1"),
        ("train.least_steps=-1", "train.least_steps.default: expected a number of 0 or more, got"),
        ("distill.hidden_part=2", "distill.hidden_part: expected from 0 to 1, got 2"),
        ("distill.hidden_from=5", r"hidden_from: expected from 0 to model.layers \(4\), got 5"),
        ("distill.replace=1.5", "distill.replace: expected from 0 to 1, got 1.5"),
        ("train.lr.w3a3=1", "schedule: expected stages such as"),
        ("train=8", "train: expected a mapping, got 8"),
        ("train.precision=fp23", "got 'fp23'; did you mean fp32"),
        ("model.attention=softmx", "did you mean softmax"),
        ("model.hidden=130", r"multiple of model.heads \(4\), got 130"),
        ("model.layers=0", "model.layers: expected at least 1, got 0"),
        ("model.relative_positions=-1", "relative_positions: expected 0 or more, .*, got -1"),
        ("model.relative_positions=128", r"below model.max_tokens \(128\), got 128"),
        ("arithmetic.rsqrt_index_bits=9", "expected an even number from 4 to 16, got 9"),
        ("arithmetic.word_bits=12", r"expected more than fraction_bits \(12\)"),
        ("train.batch_size", "--set: expected section.key=value, got 'train.batch_size'"),
    ],
)
def test_mistakes_are_one_line(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_config("mini", [override])
    assert "\n" not in str(error.value)


def test_files_that_are_no_config_are_refused(tmp_path: Path) -> None:
    sizes = "expected one of base, mini, minilm, small, tiny, a recipe"
    with pytest.raises(UserError, match=rf"{sizes} \(.*mini-sst2"):
        load_config("huge")
    path = tmp_path / "mine.yaml"
    path.write_text("- a\n", encoding="utf-8")
    with pytest.raises(UserError, match="expected a mapping of sections, got list"):
        load_config(str(path))
    path.write_text("a: [\n", encoding="utf-8")
    with pytest.raises(UserError, match="expected YAML"):
        load_config(str(path))
    path.write_text("train: {seed: 1}\n", encoding="utf-8")
    with pytest.raises(UserError, match="expected a value for model, got none"):
        load_config(str(path))


def test_schedule_is_a_list_of_stages() -> None:
    stages = parse_schedule("w32a32, W1A2,w1a1")
    assert stages == [Bits(32, 32), Bits(1, 2), Bits(1, 1)]
    assert [stage.name for stage in stages] == ["w32a32", "w1a2", "w1a1"]
    assert [stage.binary for stage in stages] == [False, False, True]


@pytest.mark.parametrize("text", ["", "w1a3", "w1a32", "w32a1", "w1a1,", "w1a1,w1a1", "w1a1 w1a2"])
def test_bad_schedules_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="schedule: expected"):
        parse_schedule(text)


def test_stage_value_falls_back_to_the_default() -> None:
    values = {"default": 1.0, "w1a1": 2.0}
    assert stage_value(values, Bits(1, 1)) == 2.0
    assert stage_value(values, Bits(1, 2)) == 1.0
    with pytest.raises(UserError, match=r"'w1a2' or 'default', got \['w1a1'\]"):
        stage_value({"w1a1": 2.0}, Bits(1, 2))
