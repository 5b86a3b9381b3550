"""The definitions and examples of WordNet, in files of its format."""

from pathlib import Path

import pytest

from edgebert.cli import main
from edgebert.errors import UserError
from edgebert.wordnet import FILES, PLACE, wordnet_sentences

LICENCE = "  1 This software and database is being provided to you\n"
CHOKE = (
    "00002724 29 v 01 choke 0 002 @ 00001740 v 0000 01 + 02 00 | breathe with great  difficulty, "
    'as when moved; "She choked; then she spoke"; "the engine choked" - A. Author  \n'
)
PLAIN = "00003316 29 n 01 burp 0 001 @ 00105333 n 0000 | a reflex that expels gas  \n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in FILES:
        text = CHOKE if name == "data.verb" else PLAIN if name == "data.noun" else ""
        (tmp_path / name).write_text(LICENCE + text)
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_gloss_gives_its_definition_and_examples() -> None:
    examples = ["She choked; then she spoke", "the engine choked"]
    assert wordnet_sentences(definitions=False) == examples
    assert wordnet_sentences(definitions=True) == [
        "a reflex that expels gas",
        "breathe with great difficulty, as when moved",
        *examples,
    ]


@pytest.mark.usefixtures("folder")
def test_the_command_takes_sentences_of_wordnet(tmp_path: Path) -> None:
    out = tmp_path / "text.txt"
    assert main(["text", "--out", str(out), "--from", "wordnet-examples"]) == 0
    assert out.read_text() == "She choked; then she spoke\nthe engine choked\n"


def test_an_absent_file_is_an_error_that_says_what_to_install(folder: Path) -> None:
    (folder / "data.adv").unlink()
    with pytest.raises(UserError, match=r"got no data\.adv; apt install wordnet-base"):
        wordnet_sentences(definitions=True)


def test_a_line_without_a_gloss_is_an_error(folder: Path) -> None:
    (folder / "data.verb").write_text(LICENCE + CHOKE + "00003316 29 v 01 burp 0 000\n")
    with pytest.raises(UserError, match=r"data\.verb:3: expected a gloss after"):
        wordnet_sentences(definitions=True)


@pytest.mark.skipif(not Path(PLACE, FILES[0]).is_file(), reason="wordnet-base is not installed")
def test_the_installed_wordnet_has_its_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    examples = wordnet_sentences(definitions=False)
    assert len(examples) > 40_000 and "She choked with emotion" in " ".join(examples)
