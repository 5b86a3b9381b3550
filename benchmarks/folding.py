"""The folding solver against FINN's SetFolding, on the same encoders, boards and estimates.

SetFolding knows matrices by PE and SIMD: it gets FINN's own matrix nodes of the same shapes, and
its PE and SIMD go to our matrices, with one token per weight read and memories by size, as FINN has
them. What it knows nothing of (attention, norms, FIFOs) is chosen as the solver chooses it, so that
only the matrices differ. Its throughput is that of the lowest target whose result fits. Run from
the repository:

    python -m benchmarks.folding [--cases MODEL:BOARD ...] [--output FILE]
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.encoders import encoder_kernels
from benchmarks.synth import commit
from hw.boards import Board, load_board
from hw.errors import ParameterError
from hw.finn.adapter import finn_session
from hw.fold.encoder import Encoder, encoder_problem
from hw.fold.problem import choose
from hw.fold.solver import solve
from hw.fold.variants import divisors, mvu_cycles
from hw.kernels.mvu import BinaryMvu
from hw.resources import Resources

OUTPUT = Path(__file__).with_suffix(".md")
MAX_TOKENS = 64
CASES = ("tiny:pynq-z2", "mini:pynq-z2", "mini:aup-zu3", "minilm:kv260", "minilm:zcu102")
HEADER = """# Folding: the solver and FINN's SetFolding

Predicted (`hw.resources`, compared with synthesis in benchmarks/resources.md), on code at commit
{commit}; sentences of up to {tokens} tokens, softmax attention. Clock: the board's. `TOPS`: binary
operations of the matrices. Shares are of what the board leaves beside its shell. SetFolding: its
PE and SIMD for the matrices at the lowest target that fits, the rest chosen as the solver does.
Made by `python -m benchmarks.folding`.

"""
COLUMNS = "model|board|folding|cycles per token|tokens/s|TOPS|LUT|BRAM18|URAM|DSP|seconds"


@dataclass(frozen=True)
class Result:
    """A folded encoder: cycles per token, what it takes, how long that took to find."""

    cycles: int
    total: Resources
    seconds: float


def ours(encoder: Encoder, board: Board) -> Result:
    """What the solver finds."""
    start = time.monotonic()
    solution = solve(encoder.kernels, board, encoder.max_tokens)
    return Result(solution.cycles, solution.total, time.monotonic() - start)


@contextmanager
def matrices(shapes: Mapping[str, tuple[int, int]]) -> Iterator[Any]:
    """A FINN model of matrices in a row, by node name; in a session."""
    with tempfile.TemporaryDirectory() as folder, finn_session(Path(folder)):
        from onnx import TensorProto, helper
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.util.basic import qonnx_make_model

        nodes, infos = [], []
        for name, (mw, mh) in shapes.items():
            tensors = (f"{name}_x", f"{name}_w"), f"{name}_y"
            attributes = {"MW": mw, "MH": mh, "PE": 1, "SIMD": 1, "noActivation": 1}
            attributes |= {"mem_mode": "internal_decoupled"}
            types = {"inputDataType": "BIPOLAR", "weightDataType": "BIPOLAR"}
            types |= {"outputDataType": "INT32", "binaryXnorMode": 0}
            node = helper.make_node(
                "MVAU_hls",
                [*tensors[0]],
                [tensors[1]],
                name=name,
                domain="finn.custom_op.fpgadataflow.hls",
                backend="fpgadataflow",
                **attributes,
                **types,
            )
            nodes.append(node)
            shapes_of = {tensors[0][0]: [1, mw], tensors[0][1]: [mw, mh], tensors[1]: [1, mh]}
            infos += [
                helper.make_tensor_value_info(t, TensorProto.FLOAT, s) for t, s in shapes_of.items()
            ]
        names = [info.name for info in infos]
        inputs = [i for i, n in zip(infos, names, strict=True) if not n.endswith("_y")]
        outputs = [i for i, n in zip(infos, names, strict=True) if n.endswith("_y")]
        yield ModelWrapper(qonnx_make_model(helper.make_graph(nodes, "m", inputs, outputs)))


def set_folding(model: Any, target: int) -> list[dict[str, int]]:
    """PE and SIMD that SetFolding gives the nodes, in order, for a target of cycles per token."""
    from finn.transformation.fpgadataflow.set_folding import SetFolding
    from qonnx.custom_op.registry import getCustomOp

    folded = model.transform(SetFolding(target, two_pass_relaxation=False))
    ops = [getCustomOp(node) for node in folded.graph.node]
    return [{"pe": op.get_nodeattr("PE"), "simd": op.get_nodeattr("SIMD")} for op in ops]


def theirs(encoder: Encoder, board: Board) -> Result | None:
    """What SetFolding's matrices come to at the lowest target that fits."""
    start = time.monotonic()
    mvus = {n: k for n, k in encoder.kernels.items() if isinstance(k, BinaryMvu)}
    shapes = {name: (kernel.mw, kernel.mh) for name, kernel in mvus.items()}
    with matrices(shapes) as model:
        seen: set[str] = set()
        for target in targets(mvus):
            fields = dict(zip(mvus, set_folding(model, target), strict=True))
            if str(fields) in seen:
                continue
            seen.add(str(fields))
            if found := evaluate(encoder, board, fields):
                return Result(*found, time.monotonic() - start)
    return None


def targets(mvus: Mapping[str, BinaryMvu]) -> list[int]:
    """Cycles that a matrix can take, from the fewest on."""
    sizes = {(kernel.mw, kernel.mh) for kernel in mvus.values()}
    return sorted({a * b for mw, mh in sizes for a in divisors(mw) for b in divisors(mh)})


def evaluate(
    encoder: Encoder, board: Board, fields: Mapping[str, Mapping[str, int]]
) -> tuple[int, Resources] | None:
    """Cycles and total of an encoder with these matrices, if it fits."""

    def folded(name: str, kernel: BinaryMvu) -> list[BinaryMvu]:
        values: dict[str, Any] = dict(fields[name])
        return [replace(kernel, tokens=1, weight_memory="auto", **values)]

    cycles = max(mvu_cycles(folded(n, encoder.mvu(n))[0]) for n in fields)
    while True:  # what SetFolding knows nothing of may be slower
        problem = encoder_problem(encoder, board.family, cycles, board.budget.uram > 0, folded)
        if not isinstance(problem, str):
            break
        cycles += max(1, cycles // 50)
    for relaxed in (True, False):
        choice = choose(problem, board.budget, board.resources, (), 5e-3, relaxed)
        if choice is None:
            return None
    assert choice is not None
    return cycles, choice.cost


def row(name: str, encoder: Encoder, board: Board, label: str, result: Result | None) -> str:
    """A row of the table."""
    cells = [name, board.name, label]
    if result is None:
        cells += ["does not fit", *[""] * 7]
    else:
        rate = board.clock_mhz * 1e6 / result.cycles
        cells += [str(result.cycles), f"{rate:,.0f}", f"{2e-12 * encoder.macs() * rate:.2f}"]
        shares = result.total.shares(board.budget)
        for resource in ("lut", "bram18", "uram", "dsp"):
            amount = getattr(result.total, resource)
            cells.append(f"{amount:,} ({100 * shares[resource]:.0f} %)" if amount else "0")
        cells.append(f"{result.seconds:.0f}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=CASES, metavar="MODEL:BOARD")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    rows = []
    for case in args.cases:
        name, _, board_name = case.partition(":")
        board = load_board(board_name)
        encoder = Encoder(encoder_kernels(name, MAX_TOKENS), MAX_TOKENS)
        try:
            mine: Result | None = ours(encoder, board)
        except ParameterError:
            mine = None
        for label, result in (("solver", mine), ("SetFolding", theirs(encoder, board))):
            rows.append(row(name, encoder, board, label, result))
            print(rows[-1], flush=True)
    names = COLUMNS.split("|")
    head = [f"| {' | '.join(names)} |", "|" + " --- |" * len(names)]
    text = HEADER.format(commit=commit(), tokens=MAX_TOKENS) + "\n".join([*head, *rows]) + "\n"
    args.output.write_text(text)


if __name__ == "__main__":
    main()
