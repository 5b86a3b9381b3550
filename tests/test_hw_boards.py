from pathlib import Path

import pytest
import yaml

from hw.boards import BOARDS, known_boards, load_board
from hw.errors import HardwareFileError, ParameterError
from hw.resources import Resources

NAMES = "pynq-z2, aup-zu3, kv260, zcu104, zcu102"


def entry(**changes: object) -> dict[str, object]:
    """A board with some keys changed, or left out where None."""
    values = {**yaml.safe_load(BOARDS.read_text())["pynq-z2"], **changes}
    return {key: value for key, value in values.items() if value is not None}


def test_every_known_board_leaves_an_accelerator_most_of_its_part() -> None:
    assert ", ".join(known_boards()) == NAMES
    for name in known_boards():
        board = load_board(name)
        assert board.name == name
        assert board.family == ("xc7" if name == "pynq-z2" else "xcup")
        assert board.budget + board.reserve == board.resources
        assert 0.8 * board.resources.lut < board.budget.lut < board.resources.lut
        assert 0 < board.reserve.bram18 < 0.1 * board.resources.bram18
        assert board.finn_name


def test_the_default_board_has_the_figures_of_its_part() -> None:
    board = load_board("pynq-z2")
    assert board.part == "xc7z020clg400-1"
    assert board.resources == Resources(lut=53200, ff=106400, bram18=280, uram=0, dsp=220)
    assert board.clock_mhz == 100


def test_a_board_can_be_described_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(entry(lut=40000, uram=None, finn_name=None)))
    board = load_board(str(path))
    assert (board.name, board.resources.lut, board.finn_name) == ("mine", 40000, "")


def test_an_unknown_board_names_those_known() -> None:
    with pytest.raises(
        ParameterError, match=f"board: expected one of {NAMES}, or a file"
    ) as caught:
        load_board("pynq-z3")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (entry(family="virtex"), "family: expected one of .*, got 'virtex'"),
        (entry(part=None), "part: expected a value, got none"),
        (entry(lut=-1), "lut: expected a number from 0 on, got -1"),
        (entry(lut="many"), "lut: expected a number from 0 on, got 'many'"),
        (entry(clock_mhz=0), "clock_mhz: expected a positive number, got 0"),
        (entry(luts=4), "a board: expected keys of .*, got .'luts'."),
        (entry(reserve={"lut": 60000}), "reserve: expected no more than the part has"),
        (entry(reserve={"lot": 1}), "reserve: expected keys of"),
        (entry(reserve=5), "reserve: expected keys and values, got int"),
        ([1, 2], "a board: expected keys and values, got list"),
        (None, "a board: expected keys and values, got NoneType"),
    ],
)
def test_a_bad_file_is_one_line_with_its_name_and_the_known_boards(
    tmp_path: Path, content: object, message: str
) -> None:
    path = tmp_path / "board.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(HardwareFileError, match=f"board.yaml: {message}") as caught:
        load_board(str(path))
    assert NAMES in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "a: [1", "\xff"])
def test_a_file_that_is_missing_or_no_yaml_is_one_line(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "board.yaml"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(HardwareFileError, match=r"board.yaml: expected") as caught:
        load_board(str(path))
    assert "\n" not in str(caught.value)
