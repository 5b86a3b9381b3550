"""FINN without Vivado: the one place that knows what FINN insists on.

FINN reads its folders from the environment, wants a Vivado to import its builder, prints, logs to
the console, and replaces the process's logging handlers and standard output when it builds.
`finn_session` gives it what it wants and afterwards leaves the process as it was.
"""

import importlib
import logging
import multiprocessing
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from hw.errors import ToolError
from hw.finn import xsi

DOMAIN = "finn.custom_op.fpgadataflow"
LOG = "finn.log"
NO_VIVADO = "no-vivado"  # FINN writes this name into its reports as the tool's version


@contextmanager
def finn_session(build_dir: Path, *, workers: int = 1) -> Iterator[None]:
    """Let FINN run in this block, without Vivado, quietly, its rtlsim on Verilator.

    Inside, FINN's modules import, its steps and passes run, and generated code goes to new folders
    in `build_dir`. What it prints and logs goes to `finn.log` there. Environment, standard output,
    logging and FINN's settings are afterwards as before. Sessions may follow each other and nest.

    Args:
        build_dir: made if it is missing.
        workers: processes of FINN's parallel passes (PrepareRTLSim).

    Raises:
        ToolError: FINN is not installed.
    """
    _require_finn()
    build_dir = build_dir.resolve()
    build_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(_environment(build_dir, workers))
        stack.enter_context(_quiet(build_dir / LOG))
        stack.enter_context(_start_method("fork"))  # a new interpreter would not know our ops
        stack.enter_context(_settings())
        stack.enter_context(_stand_ins())
        yield


def register(op: type, rtl_op: type) -> None:
    """Make an operator known to FINN, in FINN's own domains: in others its passes skip it.

    Args:
        op: subclass of HWCustomOp.
        rtl_op: subclass of `op` and RTLBackend, named like `op` with `_rtl`.

    Raises:
        ValueError: a name that FINN does not follow, or that is taken.
    """
    for cls, name in ((op, op.__name__), (rtl_op, f"{op.__name__}_rtl")):
        if cls.__name__ != name:
            raise ValueError(f"expected the name {name}, got {cls.__name__}")
        if "_v" in name:
            raise ValueError(f"expected a name without '_v', where qonnx cuts it, got {name}")
    qonnx_registry = importlib.import_module("qonnx.custom_op.registry")
    for cls, domain in ((op, DOMAIN), (rtl_op, f"{DOMAIN}.rtl")):
        module = importlib.import_module(domain)
        known = module.custom_op.get(cls.__name__, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"{cls.__name__}: the name is taken by {known.__module__}")
        module.register_custom_op(cls)
        qonnx_registry.add_op_to_domain(domain, cls)  # replaces what it has looked up before


def _require_finn() -> None:
    try:
        distribution("finn-plus")
    except PackageNotFoundError:
        raise ToolError(
            "expected FINN (package finn-plus), found none; "
            "install it with: pip install --no-deps -r requirements.lock"
        ) from None


@contextmanager
def _environment(build_dir: Path, workers: int) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.setdefault("XILINX_VIVADO", str(build_dir / NO_VIVADO))
    os.environ["FINN_BUILD_DIR"] = str(build_dir)
    os.environ["FINN_SETTINGS"] = str(build_dir / "settings.yaml")  # else FINN makes ~/.finn
    os.environ["FINN_MP_START_METHOD"] = "fork"
    os.environ["NUM_DEFAULT_WORKERS"] = str(workers)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _quiet(path: Path) -> Iterator[None]:
    """Print and log to a file; put back what FINN's builder replaces."""
    root, logger = logging.getLogger(), logging.getLogger("finn_logger")
    level, handlers, propagate = root.level, root.handlers[:], logger.propagate
    errors, show = sys.stderr, warnings.showwarning
    with path.open("a") as file, warnings.catch_warnings(), redirect_stdout(file):
        warnings.simplefilter("ignore")
        handler = logging.StreamHandler(file)
        logger.addHandler(handler)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagate
            sys.stderr = errors
            if warnings.showwarning is not show:
                logging.captureWarnings(False)
            for replaced in set(root.handlers) - set(handlers):
                replaced.close()
            root.handlers[:] = handlers
            root.setLevel(level)


@contextmanager
def _start_method(name: str) -> Iterator[None]:
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(name, force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(before, force=True)


@contextmanager
def _settings() -> Iterator[None]:
    settings: Any = importlib.import_module("finn.util.settings")
    console = importlib.import_module("finn.util.logging")
    before, shown = settings._SETTINGS, console.get_console()
    settings.initialize_dummy_settings()
    try:
        yield
    finally:
        settings._SETTINGS = before
        console.set_console(shown)


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Our simulator in place of the names that finn.xsi would take from Vivado."""
    module: dict[str, Any] = vars(importlib.import_module("finn.xsi"))
    names = module["_LAZY_NAMES"]
    before = {name: module[name] for name in names if name in module}
    module.update({name: getattr(xsi, name) for name in names})
    try:
        yield
    finally:
        for name in names:
            del module[name]
        module.update(before)
