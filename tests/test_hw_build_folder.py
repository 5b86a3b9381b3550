"""A build's folder: steps finish whole or not at all, and the same request goes on."""

import json
from pathlib import Path

import pytest

from hw.build_folder import BuildFolder, Say, Step, open_build, run_steps, start_build
from hw.errors import HardwareFileError

REQUEST = {"board": "pynq-z2", "max_tokens": 64}


def step(name: str, calls: list[str], error: BaseException | None = None) -> Step:
    def run(build: BuildFolder, folder: Path, say: Say) -> None:
        calls.append(name)
        assert not list(folder.iterdir())
        (folder / "half").write_text(name)
        if error is not None:
            raise error
        (folder / "more").mkdir()
        (folder / "more" / "rest").write_text(", ".join(build.steps))

    return Step(name, f"make {name}", run)


def test_steps_run_once_and_in_order(tmp_path: Path) -> None:
    calls: list[str] = []
    lines: list[str] = []
    steps = [step("a", calls), step("b", calls)]
    build = run_steps(start_build(tmp_path / "x", REQUEST), steps, lines.append)
    assert calls == ["a", "b"]
    assert (build.folder("b") / "more" / "rest").read_text() == "a"
    again = start_build(tmp_path / "x", REQUEST)
    assert again == build == open_build(tmp_path / "x")
    more = run_steps(again, [*steps, step("c", calls)], lines.append)
    assert calls == ["a", "b", "c"]
    assert list(more.steps) == ["a", "b", "c"]
    assert lines[0] == "a: make a" and "a: done before" in lines


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_stops_in_mid_step_goes_on_there(tmp_path: Path, error: BaseException) -> None:
    calls: list[str] = []
    build = start_build(tmp_path / "x", REQUEST)
    with pytest.raises(type(error)) as caught:
        run_steps(build, [step("a", calls), step("b", calls, error)], str)
    if isinstance(error, KeyboardInterrupt):
        assert str(caught.value) == (
            "stopped in step b, finished before: a; the same command goes on from there"
        )
    stopped = open_build(tmp_path / "x")
    assert list(stopped.steps) == ["a"]
    with pytest.raises(HardwareFileError, match="expected a build with the step b, got a; run"):
        stopped.folder("b")
    build = run_steps(stopped, [step("a", calls), step("b", calls)], str)
    assert calls == ["a", "b", "b"]
    assert (build.folder("b") / "half").read_text() == "b"


def test_files_that_changed_are_not_taken_for_good(tmp_path: Path) -> None:
    build = run_steps(start_build(tmp_path / "x", REQUEST), [step("a", [])], str)
    (tmp_path / "x" / "a" / "half").write_text("other")
    with pytest.raises(HardwareFileError, match="half: changed since it was built"):
        build.folder("a")
    (tmp_path / "x" / "a" / "half").unlink()
    with pytest.raises(HardwareFileError, match="half: missing; build it again with --force"):
        run_steps(build, [step("a", [])], str)


def test_another_request_needs_another_folder_or_force(tmp_path: Path) -> None:
    run_steps(start_build(tmp_path / "x", REQUEST), [step("a", [])], str)
    other = {**REQUEST, "max_tokens": 32}
    with pytest.raises(HardwareFileError, match=r"same max tokens to go on with \(32\), got .* 64"):
        start_build(tmp_path / "x", other)
    assert not start_build(tmp_path / "x", other, force=True).steps
    assert not (tmp_path / "x" / "a").exists()
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "thesis.tex").write_text("x")
    with pytest.raises(HardwareFileError, match="expected a new folder or a build"):
        start_build(tmp_path / "y", REQUEST, force=True)


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    build = start_build(tmp_path / "x", REQUEST)

    def second(inner: BuildFolder, folder: Path, say: Say) -> None:
        with pytest.raises(HardwareFileError, match="expected no other process at work"):
            run_steps(inner, [], str)

    run_steps(build, [Step("a", "start another", second)], str)


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"format": "edgebert build", "version": 7})])
def test_a_damaged_state_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "build.json").write_text(text)
    with pytest.raises(HardwareFileError, match=r"build\.json: damaged .*; build it again"):
        open_build(tmp_path)
    with pytest.raises(HardwareFileError, match="expected the folder of a build, got no build"):
        open_build(tmp_path / "none")
