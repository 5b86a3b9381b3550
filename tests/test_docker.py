"""docker/: what holds without an engine and without Vivado; docker/test.sh builds the images."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import files
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from hw.bitfile.vivado_tcl import BOARD_PARTS
from hw.boards import known_boards

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
SCRIPTS = sorted(DOCKER.glob("*.sh"))
PROGRAMS = Path(sys.executable).parent


def load(name: str) -> ModuleType:
    """A file of docker/ as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCKER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


preflight = load("vivado_preflight")
pip_config = load("pip_config")


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile and what follows each, on one line."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(line.split()[0], " ".join(line.split()[1:])) for line in joined if line.strip()]


def context(path: Path) -> Path:
    """The folder that a Dockerfile's own comment says to build in."""
    command = re.search(rf"docker build -f docker/{path.name} -t \S+ (\S+)", path.read_text())
    assert command is not None
    return ROOT / command[1]


def script(
    name: str, *arguments: str | Path, programs: Path | None = None, **given: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of docker/; with `programs`, it finds no others than those."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere", **given}
    if programs is not None:
        environment["PATH"] = str(programs)
    command = ["bash", str(DOCKER / name), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def program(path: Path, text: str) -> Path:
    """A shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return path


# Dockerfiles and scripts


def test_there_is_an_image_for_software_open_tools_and_vivado() -> None:
    assert [path.stem for path in DOCKERFILES] == ["open", "software", "vivado"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_dockerfiles_begin_with_their_base_and_end_as_a_user(path: Path) -> None:
    found = instructions(path)
    assert found[0][0] == "ARG" and found[0][1].startswith("BASE=")
    assert "${BASE}" in [text.split()[0] for name, text in found if name == "FROM"]
    users = [text for name, text in found if name == "USER"]
    assert users[-1] == "1000"
    if path.stem == "software":  # the others are made from it
        assert users == ["1000"]
        assert any("useradd" in text and "--uid 1000" in text for _, text in found)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_what_dockerfiles_copy_exists(path: Path) -> None:
    for name, text in instructions(path):
        if name in ("COPY", "ADD") and "--from=" not in text:
            *sources, _ = [word for word in text.split() if not word.startswith("--")]
            for source in sources:
                assert (context(path) / source).exists(), source


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_every_debian_package_has_a_version(path: Path) -> None:
    for _, text in instructions(path):
        if install := re.search(r"apt-get install (.*?) &&", text):
            packages = [word for word in install[1].split() if not word.startswith("-")]
            assert packages
            for package in packages:
                assert re.fullmatch(r"'[a-z0-9.+-]+=(\d+:)?\d\S*'", package), package


def test_secrets_are_mounted_not_copied() -> None:
    for path in DOCKERFILES:
        text = path.read_text()
        assert "pip.conf" not in text and "PIP_INDEX" not in text
    assert "--mount=type=secret,id=pip" in (DOCKER / "software.Dockerfile").read_text()


def test_the_software_image_takes_in_the_project_and_nothing_else() -> None:
    lines = (DOCKER / "software.Dockerfile.dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    taken = {line[1:] for line in patterns if line.startswith("!")}
    assert all((ROOT / name).exists() for name in taken)
    assert not taken & {".git", ".venv", ".cache", "runs", "build", "dist"}
    assert {"Makefile", "README.md", "pyproject.toml", "requirements.lock"} <= taken
    assert {"edgebert", "export", "hw", "tests", "benchmarks", "docker"} <= taken


def test_the_base_has_the_python_that_the_project_needs() -> None:
    needed = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    given = re.search(r"'python3=3\.(\d+)\.", (DOCKER / "software.Dockerfile").read_text())
    assert needed is not None and given is not None and int(given[1]) >= int(needed[1])


def test_shellcheck_finds_nothing() -> None:
    command = [str(PROGRAMS / "shellcheck"), *map(str, SCRIPTS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_finds_nothing() -> None:
    command = [str(PROGRAMS / "hadolint"), "--no-color", *map(str, DOCKERFILES)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["hadolint", "shellcheck"])
def test_the_linters_notice_a_fault(name: str, tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("FROM debian\nRUN cd /x\n" if name == "hadolint" else "#!/bin/sh\nrm $1\n")
    assert subprocess.run([str(PROGRAMS / name), str(path)], capture_output=True).returncode == 1


# docker/test.sh


def test_building_says_which_engine_is_missing(tmp_path: Path) -> None:
    for name in ("bash", "dirname", "mktemp", "rm", "date"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    done = script("test.sh", programs=tmp_path)
    assert done.returncode == 1
    assert "expected a running Docker engine, or buildah and podman, got neither" in done.stderr
    assert done.stdout.startswith("FAIL software: choosing an engine")


def test_building_refuses_an_unknown_image() -> None:
    done = script("test.sh", "softwear")
    assert done.returncode == 1 and "expected images software and open, got softwear" in done.stderr


def test_a_failing_image_ends_in_fail(tmp_path: Path) -> None:
    program(tmp_path / "docker", '[[ $1 != build ]] || { echo "build $*"; exit 3; }')
    done = script("test.sh", "open", PATH=f"{tmp_path}:/usr/bin:/bin", MIRROR="http://mirror")
    assert done.returncode == 3
    assert "FAIL open: building edgebert-open (status 3)" in done.stdout
    assert "--build-arg MIRROR=http://mirror" in done.stdout


def test_an_image_passes_only_with_its_script(tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = f'echo "$*" >> {log}; [[ $* != *--format* ]] || echo 123000000'
    program(tmp_path / "docker", text)
    done = script("test.sh", "software", PATH=f"{tmp_path}:/usr/bin:/bin", TORCH_INDEX="")
    assert done.returncode == 0, done.stderr
    assert "PASS software: 123 MB" in done.stdout
    lines = log.read_text().splitlines()
    assert "run --rm edgebert bash docker/test-software.sh" in lines
    assert any("--secret id=pip" in line and "--build-arg TORCH_INDEX=" in line for line in lines)
    program(tmp_path / "docker", text + "; [[ $* != *test-software* ]]")
    done = script("test.sh", "software", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 1 and "PASS" not in done.stdout
    assert "FAIL software: running bash docker/test-software.sh (status 1)" in done.stdout


def test_pip_settings_of_files_and_environment_become_one() -> None:
    listing = """:env:.find-links='/wheels /more'
global.find-links='/other'
global.index-url='https://index/simple'
global.cache-dir='/cache'
install.no-binary='a\\nb'
"""
    found = pip_config.settings(listing)
    assert found == {
        "global": {"find-links": "/wheels /more", "index-url": "https://index/simple"},
        "install": {"no-binary": "a\nb"},
    }


def test_only_existing_local_folders_are_mounted(tmp_path: Path) -> None:
    places = f"https://index/wheels file://{tmp_path} /nowhere/wheels relative"
    for key in ("index-url", "extra-index-url"):  # an index names files beside it
        assert list(pip_config.local_folders({"global": {key: places}})) == [tmp_path.parent]
    assert list(pip_config.local_folders({"global": {"find-links": places}})) == [tmp_path]
    assert not list(pip_config.local_folders({"global": {"cert": str(tmp_path)}}))


# What FINN needs from other repositories


def dependencies() -> dict[str, list[str]]:
    """docker/finn-deps.txt: address, commit, folder and place by name."""
    lines = (DOCKER / "finn-deps.txt").read_text().splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {row[0]: row[1:] for row in rows}


def finn_file(name: str) -> Path:
    """A file of the installed FINN+."""
    found = [path for path in files("finn-plus") or [] if str(path) == name]
    return Path(str(found[0].locate()))


def test_dependencies_are_those_of_the_installed_finn() -> None:
    theirs = yaml.safe_load(finn_file("finn/interface/external_dependencies.yaml").read_text())
    for name, (address, commit, folder, place) in dependencies().items():
        if name in theirs["direct_download_deps"]:
            entry = theirs["direct_download_deps"][name]
            assert (address, commit) == (entry["url"], "-")
            assert place == f"{entry['target_directory']}/{folder}"
            continue
        kind = "boardfile_deps" if place.startswith("board_files/") else "git_deps"
        entry = theirs[kind][name]
        assert (address, commit) == (entry["url"], entry["commit"])
        assert folder == entry.get("subdirectory", ".")
    lock = (ROOT / "requirements.lock").read_text()
    header = (DOCKER / "finn-deps.txt").read_text().splitlines()[0]
    assert f"finn-plus=={re.findall(r'FINN[+] ([0-9.]+[0-9])', header)[0]}\n" in lock


def test_boards_are_named_as_the_installed_finn_asks_vivado_for_them() -> None:
    template = finn_file("finn/transformation/fpgadataflow/templates.py").read_text()
    asked = re.findall(
        r'\$BOARD == "([^"]+)"\} \{(?:\s+set ZYNQ_TYPE \S+)?\s+set_property board_part (\S+)',
        template,
    )
    assert preflight.BOARD_PARTS.items() <= dict(asked).items()
    assert set(preflight.BOARD_PARTS) == {board.finn_name for board in known_boards().values()}
    for name, part in BOARD_PARTS.items():  # our own script takes any version of them
        theirs = preflight.BOARD_PARTS[known_boards()[name].finn_name]
        assert theirs.rpartition(":")[0] == part


def repository(folder: Path) -> str:
    """A git repository with a folder `part`; its first of two commits."""
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    commits = []
    for text in ("first", "second"):
        (folder / "part").mkdir(exist_ok=True)
        (folder / "part/file").write_text(text)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", text], check=True)
        head = [*git, "rev-parse", "HEAD"]
        commits.append(subprocess.run(head, check=True, capture_output=True, text=True).stdout)
    return commits[0].strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_dependency_is_fetched_at_its_commit(tmp_path: Path) -> None:
    commit = repository(tmp_path / "origin")
    listed = tmp_path / "list.txt"
    listed.write_text(f"# comment\none file://{tmp_path}/origin {commit} part boards/one\n")
    done = script("fetch-finn-deps.sh", listed, tmp_path / "deps")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"one: {commit}\n"
    assert (tmp_path / "deps/boards/one/file").read_text() == "first"
    assert (tmp_path / "deps/boards/one/.commit").read_text() == commit + "\n"

    listed.write_text(f"one file://{tmp_path}/origin {'0' * 40} part boards/two\n")
    assert script("fetch-finn-deps.sh", listed, tmp_path / "deps").returncode != 0
    listed.write_text(f"one file://{tmp_path}/origin {commit} missing boards/two\n")
    done = script("fetch-finn-deps.sh", listed, tmp_path / "deps")
    assert done.returncode == 1 and "one: expected the folder missing" in done.stderr
    assert not (tmp_path / "deps/boards/two").exists()


# The checks before a Vivado build

ANSWERS = {"part": "ok", "board": "ok", "synthesis": "ok", "implementation": "ok"}
BOARD_XML = """<board vendor="{}" name="{}"><file_version>{}</file_version>
<components><component name="{}" type="fpga"/></components></board>"""


def vivado(root: Path, version: str = "2022.2", answers: Mapping[str, str] = ANSWERS) -> Path:
    """A folder that looks like Vivado's, whose program answers as told."""
    folder = root / "Vivado" / version
    said = "\n".join(f"echo 'probe: {name} {text}'" for name, text in answers.items())
    program(folder / "bin/vivado", f'echo "$*" > {root}/asked\n{said}\necho "INFO: the end"')
    (folder / "settings64.sh").touch()
    return folder


def deps(root: Path, board: str = "Pynq-Z2") -> Path:
    """A folder that looks like FINN_DEPS, with the board files of a board."""
    vendor, name, part, version = preflight.BOARD_PARTS[board].split(":")
    path = root / "board_files" / name / "A.0/board.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(BOARD_XML.format(vendor, name, version, part))
    return root


def checks(
    monkeypatch: pytest.MonkeyPatch, board: str, vivado: Path, deps: Path, **environment: str
) -> tuple[list[str], dict[str, str]]:
    """Names of the checks in their order, and what those that failed say."""
    monkeypatch.setattr(preflight, "FREE_GB", 0)
    given = {"HOME": "/nowhere", **environment}
    done = list(preflight.check_all(known_boards()[board], vivado, deps, deps, given))
    return [c.name for c in done], {c.name: c.text for c in done if not c.passed}


def test_nothing_is_missing_where_all_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, given = vivado(tmp_path), deps(tmp_path / "deps")
    names, missing = checks(monkeypatch, "pynq-z2", folder, given)
    assert missing == {}
    assert names[:4] == ["version", "settings64.sh", "vivado", "disk"]
    assert names[-4:] == [f"vivado's {name}" for name in ANSWERS]
    asked = (tmp_path / "asked").read_text().split()
    assert asked[-3:] == ["xc7z020clg400-1", "tul.com.tw:pynq-z2:part0:1.0", f"{given}/board_files"]


def test_an_unknown_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = vivado(tmp_path, "2023.1")
    names, missing = checks(monkeypatch, "pynq-z2", folder, deps(tmp_path / "deps"))
    assert missing == {"version": f"expected a folder named 2022.2 or 2024.2, got {folder}"}
    assert not (tmp_path / "asked").exists() and "vivado's part" not in names


def test_missing_programs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Vivado/2024.2").mkdir(parents=True)
    _, missing = checks(monkeypatch, "pynq-z2", tmp_path / "Vivado/2024.2", deps(tmp_path / "deps"))
    assert list(missing) == ["settings64.sh", "vivado"]
    assert f"expected {tmp_path}/Vivado/2024.2/bin/vivado, found none" in missing["vivado"]


def test_missing_board_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, folder = deps(tmp_path / "deps"), vivado(tmp_path)
    names, missing = checks(monkeypatch, "zcu104", folder, given)
    assert list(missing) == ["board files"] and "vivado's part" not in names
    assert missing["board files"].startswith("expected xilinx.com:zcu104:part0:1.1 in ")
    theirs = folder / "data/xhub/boards/zcu104/1.1/board.xml"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("<board")  # damaged
    assert checks(monkeypatch, "zcu104", folder, given)[1]
    theirs.write_text(BOARD_XML.format("xilinx.com", "zcu104", "1.1", "part0"))
    assert checks(monkeypatch, "zcu104", folder, given)[1] == {}


def test_a_part_outside_the_free_edition_asks_for_a_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, folder = deps(tmp_path / "deps", "ZCU102"), vivado(tmp_path)
    _, missing = checks(monkeypatch, "zcu102", folder, given)
    assert list(missing) == ["licence"]
    assert missing["licence"].startswith("xczu9eg-ffvb1156-2-e is not in the free edition")
    lost = {"XILINXD_LICENSE_FILE": "/nowhere/x.lic"}
    _, missing = checks(monkeypatch, "zcu102", folder, given, **lost)
    expected = "XILINXD_LICENSE_FILE: expected a file or port@host, got /nowhere/x.lic"
    assert missing == {"licence": expected}
    for name, place in (("LM_LICENSE_FILE", "2100@server"), ("HOME", str(tmp_path))):
        (tmp_path / ".Xilinx").mkdir(exist_ok=True)
        (tmp_path / ".Xilinx/a.lic").touch()
        assert checks(monkeypatch, "zcu102", folder, given, **{name: place})[1] == {}


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "FREE_GB", 10**9)
    check = preflight.check_disk(tmp_path / "not/made/yet")
    assert not check.passed
    assert re.fullmatch(rf"\d+ GB free in {tmp_path}, of 1000000000 GB", check.text)


def test_what_vivado_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "ERROR: a valid license was not found for feature Synthesis"
    folder = vivado(tmp_path, answers={"part": "ok", "board": "ok", "synthesis": reason})
    given = deps(tmp_path / "deps")
    _, missing = checks(monkeypatch, "pynq-z2", folder, given)
    assert missing["vivado's synthesis"] == reason
    text = "echo 'error while loading shared libraries: libtinfo.so.5' >&2; exit 127"
    program(folder / "bin/vivado", text)
    _, missing = checks(monkeypatch, "pynq-z2", folder, given)
    assert list(missing) == ["vivado runs"]
    assert missing["vivado runs"].startswith("status 127, and it said: error while loading")


def test_the_checks_are_a_command(tmp_path: Path) -> None:
    command = [sys.executable, str(DOCKER / "vivado_preflight.py"), "--board", "pynq-z2"]
    command += ["--vivado", str(tmp_path), "--out", str(tmp_path), "--deps", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert all(re.match(r"(ok     |MISSING) \S", line) for line in lines[:-1])
    assert lines[-1] == f"{sum(line.startswith('MISSING') for line in lines)} missing"


STUBS = """
proc get_parts args { return xc7z020clg400-1 }
proc get_board_parts args { global boards; return $boards }
proc get_param name { return {/one /two} }
proc set_param {name value} { puts "set $name $value" }
proc create_project args {}
proc read_verilog name { if {![file exists $name]} { error "no $name" } }
proc synth_design args { global reason; if {$reason ne ""} { error $reason } }
proc opt_design {} {}
proc place_design {} {}
"""


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed")
@pytest.mark.parametrize(
    ("boards", "reason", "answers"),
    [
        ("board", "", ["part ok", "board ok", "synthesis ok", "implementation ok"]),
        ("", "", ["part ok", "board expected b, which is neither in Vivado nor in /boards"]),
        ("board", "two\nlines", ["part ok", "board ok", "synthesis two lines"]),
    ],
)
def test_the_probe_answers_in_lines(
    tmp_path: Path, boards: str, reason: str, answers: list[str]
) -> None:
    top = tmp_path / "top.tcl"
    top.write_text(
        f'{STUBS}\nset boards "{boards}"\nset reason "{reason}"\n'
        f"set argv {{p b /boards}}\nsource {DOCKER}/vivado_probe.tcl\n"
    )
    done = subprocess.run(["tclsh", str(top)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^probe: (.*)$", done.stdout, re.MULTILINE) == answers
    assert "set board.repoPaths /one /two /boards" in done.stdout


# docker/vivado-build.sh


def build(tmp_path: Path, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    """vivado-build.sh with an engine that says what it was asked."""
    program(tmp_path / "programs/docker", '[[ $1 != run ]] || echo "$*"')
    path = f"{tmp_path}/programs:/usr/bin:/bin"
    return script("vivado-build.sh", *arguments, PATH=path, **given)


def test_one_command_mounts_vivado_and_runs_build_and_package(tmp_path: Path) -> None:
    folder, licence = vivado(tmp_path / "xilinx"), tmp_path / "x.lic"
    (tmp_path / "export").mkdir()
    licence.touch()
    arguments = [str(tmp_path / "export"), "--board", "kv260", "--vivado", str(folder)]
    arguments += ["--out", str(tmp_path / "out"), "--", "--max-tokens", "64"]
    done = build(tmp_path, *arguments, XILINXD_LICENSE_FILE=str(licence))
    assert done.returncode == 0, done.stderr
    asked = done.stdout.strip()
    assert asked.endswith(
        f"edgebert-vivado bash docker/vivado-inside.sh build {folder} kv260 --max-tokens 64"
    )
    for mount in (
        f"{tmp_path}/xilinx:{tmp_path}/xilinx:ro",
        f"{tmp_path}/export:/export:ro",
        f"{tmp_path}/out:/out",
        f"{licence}:{licence}:ro",
    ):
        assert f"--volume {mount} " in asked
    assert "--env XILINXD_LICENSE_FILE " in asked and "LM_LICENSE_FILE" not in asked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["E"], "expected EXPORT, --board, --vivado and --out, got no board"),
        (["--board"], "--board: expected a value, got none"),
        (["E", "F"], "expected one EXPORT, got E and F"),
        (["--bord", "x"], "expected --board, --vivado, --out, --check or --, got --bord"),
        (
            ["/nowhere", "--board", "b", "--vivado", "/v", "--out", "/o"],
            "EXPORT: expected a folder, got /nowhere",
        ),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = build(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"docker/vivado-build.sh: {message}\n"


def test_inside_the_container_a_missing_part_ends_the_build(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program(tmp_path / "python", f'echo "python $*" >> {log}; exit "$STATUS"')
    program(tmp_path / "edgebert", f'echo "edgebert $* $XILINX_VIVADO" >> {log}')
    folder = vivado(tmp_path / "xilinx")
    (folder / "settings64.sh").write_text(f"export XILINX_VIVADO={folder} $NOT_SET\n")
    given = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path / "home"), "FINN_DEPS": "/d"}
    arguments = (str(folder), "pynq-z2", "--max-tokens", "64")
    assert script("vivado-inside.sh", "build", *arguments, STATUS="2", **given).returncode == 2
    assert len(log.read_text().splitlines()) == 1
    log.unlink()
    assert script("vivado-inside.sh", "check", *arguments, STATUS="0", **given).returncode == 0
    assert len(log.read_text().splitlines()) == 1
    log.unlink()
    assert script("vivado-inside.sh", "build", *arguments, STATUS="0", **given).returncode == 0
    _, made, packed = log.read_text().splitlines()
    start = (tmp_path / "home/.Xilinx/Vivado/Vivado_init.tcl").read_text()
    assert (
        start
        == "set_param board.repoPaths [list {*}[get_param board.repoPaths] {/d/board_files}]\n"
    )
    assert made == (
        "edgebert build /export --board pynq-z2 --until bitfile --toolchain vivado "
        f"--out /out/build --max-tokens 64 {folder}"
    )
    assert packed.startswith("edgebert package /export --build /out/build --out /out/pynq-z2.zip")
