"""Reports of a build: what was estimated, simulated, synthesized, as JSON and as text.

Estimated: the resource model and the kernels' cycle counts. Simulated: Verilator, the whole
accelerator. Synthesized: Yosys, every kernel by itself. Predicted: simulated cycles at the clock.
Placed and routed: by the tool that the section names, the whole board.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hw.bitfile.step import read_bitfile
from hw.boards import Board
from hw.build import (
    BITFILE,
    ESTIMATE,
    FIFOS,
    FOLD,
    RTL,
    STREAMED,
    SYNTH,
    SYNTHESIZED,
    TIMING,
    board_of,
    folding_folder,
)
from hw.build import SOLUTION as SOLUTION_FILE
from hw.build_folder import BuildFolder
from hw.integer_model import write_atomically
from hw.resources import Resources
from hw.resources.amount import LABELS, NAMES

FOLDER = "report"
REPORT, TEXT = "report.json", "report.md"
SIMULATIONS = {False: "simulation.json", True: "simulation-stalls.json"}  # by stalls
Data = dict[str, Any]


def write_report(build: BuildFolder) -> Data:
    """Make BUILD/report from what the finished steps and simulations have left.

    Raises:
        HardwareFileError: a step's file changed, or the report can't be written.
    """
    folder = build.path / FOLDER
    folder.mkdir(exist_ok=True)
    data = collect(build)
    write_atomically(folder / REPORT, (json.dumps(data, indent=1) + "\n").encode())
    write_atomically(folder / TEXT, report_text(data).encode())
    return data


def write_simulation(build: BuildFolder, result: Mapping[str, Any]) -> None:
    """Keep the result of a simulation for the report: the last one with and without stalls."""
    folder = build.path / FOLDER
    folder.mkdir(exist_ok=True)
    content = (json.dumps(dict(result), indent=1) + "\n").encode()
    write_atomically(folder / SIMULATIONS[bool(result["stalls"])], content)


def collect(build: BuildFolder) -> Data:
    """All figures of a build, each under the word that says how it came about."""
    board, request = board_of(build), build.request
    if (build.folder(FOLD) / STREAMED).is_file():
        return _streamed(build, board)
    solution = _read(folding_folder(build) / SOLUTION_FILE)
    clock = float(request["clock_mhz"])
    operations = 2 * solution["macs"]
    estimated = solution
    if RTL in build.steps:
        estimated = solution | _read(build.folder(RTL) / ESTIMATE)
    data: Data = {
        "board": board.name,
        "part": board.part,
        "clock_mhz": clock,
        "max_tokens": request["max_tokens"],
        "binary_operations_per_token": operations,
        "estimated": _amounts(estimated, board.budget)
        | {"cycles_per_token": solution["cycles"], "limit": _limit(estimated)},
    }
    if SYNTH in build.steps:
        synthesized = _read(build.folder(SYNTH) / SYNTHESIZED)
        data["synthesized"] = _amounts(synthesized, board.budget)
    if FIFOS in build.steps:
        amounts: Data = data["synthesized" if SYNTH in build.steps else "estimated"]
        lut = amounts["total"]["lut"]
        timings = _read(build.folder(FIFOS) / TIMING)
        data["simulated"] = {"timings": timings}
        data["predicted"] = [_rates(t, clock, operations, lut) for t in timings]
    if BITFILE in build.steps:
        data["bitfile"] = read_bitfile(build)
    runs = [build.path / FOLDER / name for name in SIMULATIONS.values()]
    data["sentences"] = [_read(run) for run in runs if run.is_file()]
    return data


def _streamed(build: BuildFolder, board: Board) -> Data:
    """Figures of a model that only fits weight-streamed; all estimated or predicted."""
    plan = _read(build.folder(FOLD) / STREAMED)
    rates = [
        {
            "tokens": p["tokens"],
            "latency_us": round(p["latency_s"] * 1e6, 2),
            "tokens_per_s": round(p["tokens_per_s"]),
            "sentences_per_s": round(p["sentences_per_s"]),
            "binary_gops": round(1000 * p["tops"], 1),
            "memory_bytes_per_s": round(p["bytes_per_s"]),
        }
        for p in plan["performance"]
    ]
    cycles = round(float(build.request["clock_mhz"]) * 1e6 / rates[-1]["tokens_per_s"], 1)
    return {
        "board": board.name,
        "part": board.part,
        "clock_mhz": float(build.request["clock_mhz"]),
        "max_tokens": build.request["max_tokens"],
        "binary_operations_per_token": 2 * plan["macs"],
        "weight_streamed": {"reason": plan["reason"], "batch_tokens": plan["batch_tokens"]},
        "estimated": _amounts(plan, board.budget)
        | {"cycles_per_token": cycles, "limit": "weights that don't fit: all layers on one"},
        "predicted": rates,
        "sentences": [],
    }


def _amounts(solution: Mapping[str, Any], budget: Resources) -> Data:
    total = Resources(**solution["total"])
    return {
        "total": total.as_dict(),
        "share_of_budget": {n: round(s, 4) for n, s in total.shares(budget).items() if s},
        "nodes": {
            name: {"cycles_per_token": solution.get("node_cycles", {}).get(name), **amounts}
            for name, amounts in solution["nodes"].items()
        },
    }


def _limit(solution: Mapping[str, Any]) -> str:
    """The slowest kernels, and the resource of which most is taken."""
    cycles = solution["node_cycles"]
    most = max(cycles.values())
    slowest = [name for name, value in cycles.items() if value == most]
    total, budget = Resources(**solution["total"]), Resources(**solution["budget"])
    shares = total.shares(budget)
    name = max(NAMES, key=lambda n: shares[n])
    names = ", ".join(slowest[:4]) + (f" and {len(slowest) - 4} more" if len(slowest) > 4 else "")
    return f"{names} at {most} cycles a token; {LABELS[name]} at {shares[name]:.0%} of the budget"


def _rates(timing: Mapping[str, Any], clock_mhz: float, operations: int, lut: int) -> Data:
    tokens_per_s = clock_mhz * 1e6 / timing["cycles_per_token"]
    gops = operations * tokens_per_s / 1e9
    return {
        "tokens": timing["tokens"],
        "latency_us": round(timing["latency_cycles"] / clock_mhz, 2),
        "tokens_per_s": round(tokens_per_s),
        "sentences_per_s": round(tokens_per_s / timing["tokens"]),
        "binary_gops": round(gops, 1),
        "binary_gops_per_klut": round(gops / (lut / 1000), 1),
    }


def report_text(data: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        f"# Accelerator for {data['board']} ({data['part']})",
        "",
        f"Clock {data['clock_mhz']:g} MHz, sentences of up to {data['max_tokens']} tokens, "
        f"{data['binary_operations_per_token']:,} binary operations (matrices) a token. Limited by "
        f"{data['estimated']['limit']}.",
        "",
        "## Resources",
        "",
        *_resource_table(data),
    ]
    if "weight_streamed" in data:
        lines += ["", "## Weight-streamed", "", data["weight_streamed"]["reason"], ""]
        lines += [f"- {rates}" for rates in data["predicted"]]
    if "bitfile" in data:
        lines += ["", "## Bitstream", "", *_bitfile_lines(data["bitfile"])]
    if "simulated" in data:
        lines += ["", "## Speed", "", *_speed_table(data)]
    if data["sentences"]:
        lines += ["", "## Sentences", "", *map(_sentence_line, data["sentences"])]
    lines += ["", "## Nodes", "", *_node_table(data)]
    return "\n".join(lines) + "\n"


def _resource_table(data: Mapping[str, Any]) -> list[str]:
    rows = [["", *(LABELS[name] for name in NAMES)]]
    for kind in ("estimated", "synthesized"):
        if kind in data:
            total, share = data[kind]["total"], data[kind]["share_of_budget"]
            cells = [f"{total[n]:,} ({share.get(n, 0):.0%} of the budget)" for n in NAMES]
            rows.append([kind, *cells])
    return _table(rows)


def _bitfile_lines(made: Mapping[str, Any]) -> list[str]:
    """Placed and routed, and how far that can be trusted."""
    tools = ", ".join(f"{name} {version}" for name, version in made["tools"].items())
    used = ", ".join(
        f"{value:,} {name.replace('_', ' ')}" for name, value in made["utilization"].items()
    )
    if made["toolchain"] == "open":
        clock = f"{made['estimated_mhz']:g} MHz, nextpnr's estimate after routing"
    else:
        clock = f"worst slack {made['worst_slack_ns']:g} ns at the clock, by Vivado"
    seconds = ", ".join(f"{name} {value:g} s" for name, value in made["seconds"].items())
    return [
        f"Tool chain `{made['toolchain']}` ({tools}), the whole board with its shell, placed and "
        f"routed: {used}. Clock: {clock}. Took {seconds}.",
        "",
        *(f"- checked: {line}" for line in made.get("checks", ())),
        *(f"- risk: {line}" for line in made["risks"]),
    ]


def _speed_table(data: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            "tokens of a sentence",
            "cycles a token (simulated)",
            "of the slowest kernel",
            "latency alone, us",
            "sentences/s",
            "binary GOPS",
            "GOPS/kLUT",
        ]
    ]
    timings = data["simulated"]["timings"]
    for timing, rates in zip(timings, data["predicted"], strict=True):
        rows.append(
            [
                str(timing["tokens"]),
                f"{timing['cycles_per_token']:.2f}",
                f"{timing['ideal_cycles_per_token']:.2f} ({timing['slowest']})",
                f"{rates['latency_us']:,}",
                f"{rates['sentences_per_s']:,}",
                f"{rates['binary_gops']:,}",
                f"{rates['binary_gops_per_klut']:,}",
            ]
        )
    return ["Rates are predicted: simulated cycles at the clock.", "", *_table(rows)]


def _sentence_line(run: Mapping[str, Any]) -> str:
    return (
        f"- {run['sentences']} sentences of {run['shortest']} to {run['longest']} tokens "
        f"({run['task']}), back to back{', random stalls' if run['stalls'] else ''}, simulated: "
        f"{run['mismatches']} of {run['integers']:,} integers differ from ONNX Runtime's; "
        f"{run['cycles_per_token'] or 0:.2f} cycles a token, "
        f"{run['ideal_cycles_per_token']:.2f} of the slowest kernel."
    )


def _node_table(data: Mapping[str, Any]) -> list[str]:
    kind = "synthesized" if "synthesized" in data else "estimated"
    cycles = data["estimated"]["nodes"]
    runs = [run for run in data["sentences"] if not run["stalls"]]
    busy = runs[0]["utilization"] if runs else {}
    rows = [["node", "cycles a token", "busy", *(LABELS[name] for name in NAMES)]]
    for name, amounts in data[kind]["nodes"].items():
        count = cycles.get(name, {}).get("cycles_per_token")
        rows.append(
            [
                name,
                "" if count is None else str(count),
                f"{busy[name]:.0%}" if name in busy else "",
                *(f"{amounts[n]:,}" for n in NAMES),
            ]
        )
    return [f"Resources are {kind}; busy: share of the simulated run's cycles.", "", *_table(rows)]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    return [head, "|" + " --- |" * len(rows[0]), *rest]


def _read(path: Path) -> Any:
    return json.loads(path.read_text())
