"""A trained model of the zoo as an accelerator: built whole, simulated on real sentences."""

import json
from pathlib import Path

import pytest

from edgebert.cli import main

OWN = (
    "yes",
    "a warm and funny film about people who never learn",
    "the plot has holes that a bus could drive through, and the bus would be the best actor in it",
    "too long by half, yet i would not have missed the last ten minutes for anything in the world, "
    "because they made me forgive the director for the two hours of noise that came before",
    "i want those two hours back",
    "quiet, patient, and earned",
)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tiny")
    assert main(["zoo", "get", "tiny-sst2", "--out", str(place / "export")]) == 0
    arguments = ["build", str(place / "export"), "--board", "pynq-z2", "--max-tokens", "64"]
    assert main([*arguments, "--out", str(place / "build")]) == 0
    return place / "build"


def simulated(build: Path, *options: str) -> dict[str, object]:
    result = build.parent / "result.json"
    assert main(["simulate", str(build), "--json", str(result), *options]) == 0
    content: dict[str, object] = json.loads(result.read_text())
    return content


def test_it_fits_and_keeps_its_pace(build: Path) -> None:
    data = json.loads((build / "report" / "report.json").read_text())
    assert max(data["estimated"]["share_of_budget"].values()) <= 1
    for timing in data["simulated"]["timings"]:
        assert timing["cycles_per_token"] <= 1.05 * timing["ideal_cycles_per_token"]


@pytest.mark.parametrize("stalls", [False, True])
def test_own_sentences_come_out_as_onnx_runtime_has_them(
    build: Path, tmp_path: Path, stalls: bool
) -> None:
    rows = "".join(f'"{text}",{i % 2}\n' for i, text in enumerate(OWN * 4))
    for name in ("train", "dev"):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + rows)
    options = ["--stalls"] if stalls else []
    data = simulated(build, "--task", "csv", "--data", str(tmp_path), *options)
    assert data["mismatches"] == 0
    assert data["sentences"] == 4 * len(OWN)


@pytest.mark.parametrize("stalls", [False, True])
def test_sst2_sentences_of_all_lengths(build: Path, glue: Path, stalls: bool) -> None:
    options = ["--stalls"] if stalls else []
    task = ["--task", "sst2", "--data", str(glue), "--samples", "200"]
    data = simulated(build, *task, *options)
    assert data["sentences"] == 200 and data["mismatches"] == 0
    assert isinstance(data["accuracy"], float) and data["accuracy"] > 0.7
    if not stalls:
        pace, ideal = data["cycles_per_token"], data["ideal_cycles_per_token"]
        assert isinstance(pace, float) and isinstance(ideal, float)
        assert pace <= 1.05 * ideal
