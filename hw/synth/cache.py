"""Results of synthesis, kept under a hash of everything that they are made of."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from hw.cache import cache_folder
from hw.sim.verilator import Parameter, closure
from hw.synth import yosys
from hw.synth.yosys import Utilization, synthesize


def cached_synthesis(
    top: str,
    parameters: Mapping[str, Parameter],
    family: str = "xc7",
    memories: Mapping[str, str] | None = None,
    options: str = "",
) -> tuple[Utilization, Path]:
    """`synthesize`, or what it gave before: the count and the file of the mapped netlist.

    Args and Raises: those of `hw.synth.yosys.synthesize`.
    """
    made = (top, sorted(parameters.items()), family, sorted((memories or {}).items()), options)
    key = hashlib.sha256(repr((made, version("pyosys"))).encode())
    maps = (Path(yosys.__file__), yosys.LUT_ROM, yosys.LUT_ROM_MAP)
    for path in (*maps, *sorted(yosys.CELLS.glob("*.v")), *closure(top)):
        key.update(path.name.encode() + b"\0" + path.read_bytes())
    home = cache_folder() / "yosys"
    target = home / f"{top}-{key.hexdigest()[:24]}"
    counts, netlist = target / "utilization.json", target / "netlist.v"
    if not counts.exists():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            result = Path(scratch) / "result"
            result.mkdir()
            used = synthesize(top, parameters, family, memories, result / "netlist.v", options)
            (result / "utilization.json").write_text(json.dumps(asdict(used)))
            try:
                os.replace(result, target)
            except OSError:
                if not counts.exists():  # not made by another process meanwhile
                    raise
    return Utilization(**json.loads(counts.read_text())), netlist
