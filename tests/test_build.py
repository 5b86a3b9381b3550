"""From an export to a simulated accelerator on the command line, and one line for every mistake."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgebert.cli import main
from export import hardware_engines
from export.hardware_engines import build_engines
from export.package import load_export, write_export
from export.verify import verify
from export.verify_report import Row
from hw.board_build import start_board
from hw.build_folder import BuildFolder, open_build
from hw.design import load_design
from hw.fold.fifo_memories import place_fifos
from hw.pynq.edgebert_board.__main__ import main as board_main
from hw.pynq.edgebert_board.driver import Accelerator
from hw.sim.virtual_board import VirtualBoard
from tests.models import random_integer_model, random_sentences
from tests.test_cli import error_of

RATE = "20000"  # sentences a second of 12 tokens: far from the board's limit, so a small design


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an export/ of a random model and its build/."""
    place = tmp_path_factory.mktemp("build")
    write_export(place / "export", random_integer_model(layers=1))
    assert main(command(place)) == 0
    return place


def command(place: Path, *more: str, out: str = "build") -> list[str]:
    return [
        "build", str(place / "export"), "--board", "pynq-z2", "--out", str(place / out),
        "--max-tokens", "12", "--fps", RATE, *more,
    ]  # fmt: skip


def last_line(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Run a command that fails in one of its steps; the one line that is not of its progress."""
    capsys.readouterr()
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("edgebert: error: ") for line in lines].index(True) == len(lines) - 1
    return lines[-1]


def test_a_build_has_its_files(place: Path) -> None:
    build = open_build(place / "build")
    assert list(build.steps) == ["lower", "fold", "fifos", "rtl"]
    rtl = build.folder("rtl")
    names = {path.name for path in (rtl / "design").iterdir()}
    assert {"encoder.sv", "files.f", "design.json", "layer0_query.hex", "rtl"} <= names
    assert (rtl / "design.svg").read_text().startswith("<svg")
    for name in ("folding_config.json", "fifo_config.json"):
        assert json.loads((rtl / name).read_text())
    design = load_design(rtl / "design" / "design.json")
    assert design.properties["max_tokens"] == 12
    assert design.properties["board"] == "pynq-z2"
    code = list((rtl / "finn").rglob("BinaryMvu_rtl_0.v"))
    assert len(code) == 1


def test_the_report_says_how_each_figure_came_about(place: Path) -> None:
    data = json.loads((place / "build" / "report" / "report.json").read_text())
    rates = data["predicted"]
    assert [rate["tokens"] for rate in rates] == [4, 8, 12]
    slowest = data["estimated"]["cycles_per_token"]
    for timing, rate in zip(data["simulated"]["timings"], rates, strict=True):
        assert timing["ideal_cycles_per_token"] <= slowest
        assert timing["cycles_per_token"] <= 1.05 * slowest
        assert rate["sentences_per_s"] * timing["tokens"] == pytest.approx(rate["tokens_per_s"], 1)
        assert rate["latency_us"] == pytest.approx(timing["latency_cycles"] / 100, abs=0.01)
    assert rates[-1]["sentences_per_s"] >= int(RATE)
    text = (place / "build" / "report" / "report.md").read_text()
    assert "layer0_ffn_norm" in text and "Rates are predicted" in text


@pytest.mark.parametrize("stalls", [False, True])
def test_golden_sentences_come_out_as_onnx_runtime_has_them(place: Path, stalls: bool) -> None:
    result = place / "simulated.json"
    options = ["--stalls"] if stalls else []
    assert main(["simulate", str(place / "build"), "--json", str(result), *options]) == 0
    data = json.loads(result.read_text())
    assert data["mismatches"] == 0 and data["first_difference"] is None
    assert data["integers"] == 32 * data["tokens"] > 0
    assert data["sentences"] == 3 and data["longest"] <= 12
    report = json.loads((place / "build" / "report" / "report.json").read_text())
    assert [run["stalls"] for run in report["sentences"]][-1] == stalls


def test_a_changed_weight_is_a_difference(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1: the accelerator computes something else than ONNX Runtime."""
    build = Path(shutil.copytree(place / "build", tmp_path / "build"))
    file = build / "rtl" / "design" / "design.json"
    content = json.loads(file.read_text())
    words = content["memories"]["layer0_down.hex"].split()
    words[0] = f"{int(words[0], 16) ^ 0xFFFF:0{len(words[0])}x}"
    content["memories"]["layer0_down.hex"] = "\n".join(words) + "\n"
    file.write_text(json.dumps(content))
    assert "design.json: changed since" in error_of(capsys, ["simulate", str(build)])
    state = json.loads((build / "build.json").read_text())
    del state["steps"]["rtl"]["files"]["design/design.json"]  # as if nothing had noticed
    (build / "build.json").write_text(json.dumps(state))
    assert main(["simulate", str(build)]) == 1
    assert "layer.0.ffn_norm.residual, sentence" in capsys.readouterr().out


def climb(place: Path, *names: str) -> dict[str, Row]:
    """Rows of the ladder's rungs of those names."""
    export = load_export(place / "export")
    rungs = build_engines(open_build(place / "build"), export)
    engines = [rung for rung in rungs if rung.name in names]
    sentences = random_sentences(4, export.model, [1, 12, 5])
    report = verify(export.path, sentences, engines=engines, intermediate_samples=2)
    assert report.ok, report.text()
    rows = {row.engine: row for row in report.rows}
    assert set(names) <= rows.keys()
    return rows


def test_the_ladder_has_the_builds_rungs(place: Path) -> None:
    rows = climb(place, "finn graph", "rtl accelerator", "virtual board")
    assert rows["rtl accelerator"].sentences == rows["virtual board"].sentences == 3
    assert rows["finn graph"].integers > 1000
    tokens, hidden, labels = 18, 32, 2
    assert rows["rtl accelerator"].integers == tokens * hidden + 3 * labels
    heads = 3 * (3 * hidden + labels)  # pooler.input, .accumulator, .output; logits
    assert rows["virtual board"].integers == 3 * tokens * hidden + heads + 3 * labels
    for name in ("rtl accelerator", "virtual board"):
        rate, single = (rows[name].figures[key] for key in ("throughput", "latency"))
        assert (rate["tokens"], rate["sentences"], rate["clock_hz"]) == (tokens, 3, 100_000_000)
        assert rate["cycles_per_token"] == rate["cycles"] / tokens > 100
        assert rate["tokens_per_second"] == pytest.approx(1e8 / rate["cycles_per_token"])
        assert 0 < single["hardware_ms"]["median"] < 1e3 * rate["hardware_seconds"]


def with_data(place: Path) -> list[str]:
    """Options of a task with sentences of 3 to 11 tokens, and longer ones."""
    place.joinpath("data").mkdir(exist_ok=True)
    rows = [f"word{9 + i} {'word7 ' * (i % 12)},{i % 2}\n" for i in range(24)]
    for name in ("train", "dev"):
        (place / "data" / f"{name}.csv").write_text("text,label\n" + "".join(rows))
    return ["--task", "csv", "--data", str(place / "data")]


def test_the_virtual_board_is_verified_on_a_dev_set(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = place / "verified.json"
    arguments = ["verify", str(place / "export"), "--build", str(place / "build")]
    arguments += [*with_data(place), "--engine", "virtual-board", "--json", str(result)]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert "note: 4 sentences of more than the build's 12 tokens are left out" in err
    row = {row["engine"]: row for row in json.loads(result.read_text())["engines"]}["virtual board"]
    assert row["sentences"] == 20 and row["mismatches"] == 0 and row["score"] is not None
    assert f"virtual board: {row['throughput']['tokens_per_second']:,.0f} tokens/s" in out
    assert row["throughput"]["tokens"] == sum(2 * (n + 2) for n in range(1, 11))


def test_the_package_proves_itself_on_the_virtual_board(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The board's own commands, as there; its result beside those of simulation."""
    export, build, package = (str(place / name) for name in ("export", "build", "package.zip"))
    task = with_data(place)
    for out in (package, str(place / "again.zip")):
        assert main(["package", export, "--build", build, "--out", out, *task]) == 0
    assert Path(package).read_bytes() == (place / "again.zip").read_bytes()

    def run(*arguments: str) -> int:
        return board_main(
            [*arguments, "--timeout", "600"], lambda _: start_board(open_build(Path(build)))
        )

    proved, verified = str(place / "proved.json"), str(place / "verified.json")
    assert run("verify", package, "--data", str(place / "data"), "--json", proved) == 0
    assert run("predict", package, "word7 word8") == 0
    assert run("bench", package) == 0
    rows = json.loads(Path(proved).read_text())["engines"]
    assert [row["status"] for row in rows] == ["equal", "equal"]
    assert rows[1]["sentences"] == 24 and rows[1]["compared_sentences"] == 20
    tokens = sum(2 * (n + 2) for n in range(1, 11))
    assert rows[1]["integers"] == 20 * 2 + tokens * 32
    simulated = ["--engines", "ort,accelerator,virtual-board", "--json", verified]
    assert main(["verify", export, "--build", build, *task, *simulated]) == 0
    assert main(["simulate", build]) == 0
    capsys.readouterr()
    assert main(["report", proved, export, build, verified]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = ["reference", "golden.npz", "onnxruntime model.onnx", "rtl accelerator"]
    names += ["rtl accelerator", "virtual board", "board, golden sentences", "board, dev set"]
    engines = [line.split("  ")[0] for line in lines[1:]]
    # Another test may have simulated this build with stalls.
    assert [engine for engine in engines if engine != "rtl accelerator, stalled"] == names
    assert all(" 0 of " in line for line in lines[1:])


def test_a_wrong_integer_of_any_token_is_found_on_the_virtual_board(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit of a token that no logit depends on."""
    correct = Accelerator.run

    def run(self: Accelerator, residual: Any, lengths: Any, **options: Any) -> Any:
        rows = correct(self, residual, lengths, **options)
        rows[-1, 5] ^= 1
        return rows

    monkeypatch.setattr(Accelerator, "run", run)
    export = load_export(place / "export")
    engines = [e for e in build_engines(open_build(place / "build"), export) if "board" in e.name]
    sentences = random_sentences(4, export.model, [3, 7])
    row = verify(export.path, sentences, engines=engines, intermediate_samples=1).rows[-1]
    assert row.mismatches == 1 and row.first is not None
    assert (row.first.tensor, row.first.sentence) == ("layer.0.ffn_norm.residual", 1)
    assert row.first.index == (6, 5)


def hung_board(build: BuildFolder) -> VirtualBoard:
    board = start_board(build)
    board.hang()
    return board


def test_what_the_board_refuses_or_misses_is_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export, task = str(place / "export"), with_data(place)
    board = ["verify", export, *task, "--engine", "virtual-board"]
    build = ["--build", str(place / "build")]
    with monkeypatch.context() as patch:
        patch.setattr(hardware_engines, "TIMEOUT_S", 0.3)
        patch.setattr(hardware_engines, "start_board", hung_board)
        line = error_of(capsys, [*board, *build])
    assert "expected a run of 20 sentences within 0.3 s, got none; STATUS" in line
    assert "BUSY" in line and "TOKENS_OUT 0" in line
    assert "expected --build BUILD with virtual-board, got none" in error_of(capsys, board)
    assert "required: --task" in error_of(capsys, ["verify", export, *build])
    assert "--samples: expected a number of 1" in error_of(capsys, [*board, *build, "--samples=0"])
    half = Path(shutil.copytree(place / "build", place / "half"))
    state = json.loads((half / "build.json").read_text())
    del state["steps"]["rtl"]
    (half / "build.json").write_text(json.dumps(state))
    line = error_of(capsys, [*board, "--build", str(half)])
    assert "expected a build with the step rtl, got lower, fold, fifos" in line
    other = write_export(place / "other", random_integer_model(seed=5))
    for arguments in (["verify", *board[2:]], ["package", "--out", str(place / "no.zip")]):
        line = error_of(capsys, [*arguments[:1], str(other.path), *arguments[1:], *build])
        assert "expected a build of this export, got one of another" in line
    arguments = ["package", export, "--build", str(half), "--out", str(place / "no.zip")]
    assert "expected a build with the step rtl" in error_of(capsys, arguments)
    assert not (place / "no.zip").exists()
    assert "got no build.json there" in error_of(capsys, [*board, "--build", export])


@pytest.mark.slow
def test_the_ladder_has_a_rung_for_each_kernel(place: Path) -> None:
    assert climb(place, "rtl kernels")["rtl kernels"].integers > 1000


def test_another_exports_build_is_refused(place: Path, tmp_path: Path) -> None:
    other = write_export(tmp_path / "other", random_integer_model(seed=5))
    with pytest.raises(Exception, match="expected a build of this export, got one of another"):
        build_engines(open_build(place / "build"), other)


def test_the_same_command_goes_on_and_another_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(command(place)) == 0
    assert capsys.readouterr().err.count("done before") == 4
    line = error_of(capsys, command(place, "--clock-mhz", "50"))
    assert "expected a build for the same clock mhz to go on with (50.0), got one for 100.0" in line


def test_a_folding_file_makes_the_same_design(place: Path, tmp_path: Path) -> None:
    folding = place / "build" / "fold" / "folding.json"
    arguments = command(place, "--fold", str(folding), "--until", "estimate", out="refold")
    del arguments[arguments.index("--fps") : arguments.index("--fps") + 2]
    assert main(arguments) == 0
    assert json.loads((place / "refold" / "fold" / "folding.json").read_text()) == json.loads(
        folding.read_text()
    )


def test_mistakes_are_one_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export, out = str(place / "export"), str(tmp_path / "out")

    def said(*options: str, path: str = export) -> str:
        line = last_line(capsys, ["build", path, "--out", out, *options])
        assert not (tmp_path / "out" / "rtl").exists()
        return line

    assert "expected one of pynq-z2, aup-zu3" in said("--board", "arty")
    board = tmp_path / "board.yaml"
    board.write_text("part: [")
    assert "expected YAML" in said("--board", str(board))
    assert "--max-tokens: expected 3" in said("--board", "pynq-z2", "--max-tokens", "2")
    assert "--max-tokens: expected 3" in said("--board", "pynq-z2", "--max-tokens", "17")
    assert "got no manifest.json" in said("--board", "pynq-z2", path=str(tmp_path))
    folding = tmp_path / "folding.json"
    folding.write_text("{}")
    assert "expected a folding file" in said("--board", "pynq-z2", "--fold", str(folding))
    content = json.loads((place / "build" / "fold" / "folding.json").read_text())
    content["model"]["hidden"] = 64
    folding.write_text(json.dumps(content))
    assert "--fold: expected a folding for" in said("--board", "pynq-z2", "--fold", str(folding))
    assert "don't fit pynq-z2" in said("--board", "pynq-z2", "--fps", "1e9")
    damaged = Path(shutil.copytree(export, tmp_path / "damaged"))
    (damaged / "encoder.onnx").write_bytes(b"x" * (damaged / "encoder.onnx").stat().st_size)
    assert "changed since it was exported" in said("--board", "pynq-z2", path=str(damaged))
    assert "expected the folder of a build" in error_of(capsys, ["simulate", str(tmp_path)])
    half = Path(shutil.copytree(place / "refold", tmp_path / "half"))
    assert "expected a build with the step rtl" in error_of(capsys, ["simulate", str(half)])


def test_a_model_that_does_not_fit_says_what_binds(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = tmp_path / "small.yaml"
    board.write_text(
        "part: xc7z007s\nfamily: xc7\nclock_mhz: 100\nlut: 2000\nff: 4000\nbram36: 3\n"
        "dram_bytes_per_s: 1.0e+9\nreserve: {lut: 500}\n"
    )
    arguments = ["build", str(place / "export"), "--board", str(board), "--out"]
    line = last_line(capsys, [*arguments, str(tmp_path / "out"), "--until", "estimate"])
    assert "LUT" in line and "would do" in line


def test_a_missing_compiler_is_one_line(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "perl").symlink_to(str(shutil.which("perl")))  # which Verilator starts with
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert "g++" in error_of(capsys, ["simulate", str(place / "build")])


def test_fifos_go_to_luts_where_block_ram_runs_out(place: Path) -> None:
    from dataclasses import replace

    from hw.boards import load_board
    from hw.resources import Resources, resources_of

    design = load_design(place / "build" / "rtl" / "design" / "design.json")
    deep = {name: replace(k, depth=700, ram="block") for name, k in design.fifos().items()}
    design = design.with_kernels(deep)
    board = load_board("pynq-z2")
    roomy = place_fifos(design, board, {})
    assert all(fifo.ram == "block" and fifo.depth >= 700 for fifo in roomy.values())
    assert all(fifo.bram18() == deep[name].bram18() for name, fifo in roomy.items())
    assert any(fifo.depth > 700 for fifo in roomy.values())
    used = Resources.total(resources_of(k, "xc7") for k in design.instances.values()).bram18
    tight = replace(board, resources=replace(board.resources, bram18=used + 20 - 3))
    moved = [n for n, k in place_fifos(design, tight, {}).items() if k.ram == "distributed"]
    assert 1 <= len(moved) <= 3
    kept = place_fifos(design, tight, {moved[0]: "block"})
    assert kept[moved[0]].ram == "block"
    planned = dict.fromkeys(deep, "block")  # of which none but these can go
    assert [n for n, k in place_fifos(design, tight, planned).items() if k.ram != "block"] == moved
    no_luts = replace(tight, resources=replace(tight.resources, lut=tight.reserve.lut))
    assert all(k.ram == "block" for k in place_fifos(design, no_luts, planned).values())


BOARD = """
part: xc7z020clg400-1
family: xc7
clock_mhz: 100
dram_bytes_per_s: 1.0e+9
lut: 4400
ff: 106400
bram36: 5
dsp: 220
reserve: {lut: 0, ff: 0, bram36: 0, dsp: 0}
"""


def test_a_build_folds_again_where_fifos_take_more_than_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_export(tmp_path / "export", random_integer_model(layers=2))
    (tmp_path / "small.yaml").write_text(BOARD)
    out, board = tmp_path / "build", ["--board", str(tmp_path / "small.yaml")]
    options = ["--max-tokens", "12", *board]
    assert main(["build", str(tmp_path / "export"), "--out", str(out), *options]) == 0
    assert "1 BRAM18 more than small has: folding again" in capsys.readouterr().err
    report = json.loads((out / "report" / "report.json").read_text())
    total = report["estimated"]["total"]
    assert total["bram18"] <= 10 and total["lut"] <= 4400
    first = json.loads((out / "fold" / "solution.json").read_text())
    assert report["estimated"]["cycles_per_token"] > first["cycles"]
    timings = report["simulated"]["timings"]
    assert timings[-1]["ideal_cycles_per_token"] == report["estimated"]["cycles_per_token"]
    assert main(["simulate", str(out)]) == 0
    # its folding is a file for --fold, as that of the step before is
    again, folding = tmp_path / "again", out / "fifos" / "folding.json"
    options += ["--fold", str(folding), "--until", "estimate"]
    assert main(["build", str(tmp_path / "export"), "--out", str(again), *options]) == 0
    assert (again / "fold" / "folding.json").read_bytes() == folding.read_bytes()


def test_half_a_longest_sentence_can_wait_before_an_attention(place: Path) -> None:
    from hw.fold.fifo_memories import waiting_room

    design = load_design(place / "build" / "rtl" / "design" / "design.json")
    least = waiting_room(design)
    assert len(least) == 3  # query, key, value
    for name, depth in least.items():
        fifo = design.fifos()[name]
        assert depth * fifo.width == 6 * 32  # half of 12 tokens, 32 channels
        assert fifo.depth >= depth
