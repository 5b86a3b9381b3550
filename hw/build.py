"""From an export to an accelerator: the steps of `edgebert build`.

Each step writes a folder and reads those of the steps before, so that a build goes on where it was
stopped. FINN is imported inside a session only, and by the steps that work on its graph.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw.boards import Board
from hw.build_folder import BuildFolder, Say, Step
from hw.design import Design, load_design
from hw.errors import HardwareFileError, ParameterError
from hw.fold.fifo_memories import place_fifos, waiting_room
from hw.fold.given import given_solution
from hw.fold.solver import DoesNotFit, rate, solve
from hw.integer_model import IntegerModel, load_integer_model, write_atomically
from hw.layout import Dimensions
from hw.reference import run_embedding
from hw.resources import Resources, resources_of
from hw.resources.amount import LABELS

if TYPE_CHECKING:
    from hw.bitfile.step import Toolchain

LOWER, FOLD, FIFOS, RTL, SYNTH = "lower", "fold", "fifos", "rtl", "synth"
BITFILE = "bitfile"
UNTIL = {"estimate": (LOWER, FOLD), "rtl": (LOWER, FOLD, FIFOS, RTL)}
UNTIL["synth"] = (*UNTIL["rtl"], SYNTH)
UNTIL["bitfile"] = (*UNTIL["rtl"], BITFILE)
MODEL, ENCODER, TOKENIZER = "integer.safetensors", "encoder.onnx", "tokenizer"
LOWERED, FOLDED, FINAL = "lowered.onnx", "folded.onnx", "final.onnx"
GENERATED = "generated.onnx"  # with the paths of its code
FOLDING, DEPTHS, SOLUTION, DESIGN = "folding.json", "depths.json", "solution.json", "design.json"
TIMING, ESTIMATE, SYNTHESIZED = "timing.json", "estimate.json", "synthesized.json"
STREAMED, STREAMED_LENGTHS = "weight_streamed.json", (32, 64)
FOLDING_FORMAT = "edgebert folding"
CHECKED = 2  # golden sentences that every pass is checked on
REFOLDINGS = 3  # at most, where FIFOs take more than planned
NAME = "encoder"  # of the top module
DESIGN_FOLDER = "design"
SHORTEST = 3  # tokens of a sentence of one word: [CLS] word [SEP]


def build_request(
    export_sha256: str,
    model: IntegerModel,
    board: Board,
    *,
    clock_mhz: float | None = None,
    max_tokens: int | None = None,
    fps: float | None = None,
    folding: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a build is asked for, as plain data.

    Args:
        export_sha256: identifies the export.
        board: its part, its resources and its clock.
        clock_mhz: in place of the board's.
        max_tokens: longest sentence of the hardware; that of the model if None.
        fps: sentences per second, each of max_tokens, that the smallest design shall reach.
        folding: content of a folding file; neither: the fastest design that fits.

    Raises:
        ParameterError: max_tokens that the model or no sentence has, both fps and a folding, or a
            folding for another model.
    """
    longest = model.dimensions.max_tokens
    tokens = longest if max_tokens is None else max_tokens
    if not SHORTEST <= tokens <= longest:
        raise ParameterError(
            f"--max-tokens: expected {SHORTEST} (a word between [CLS] and [SEP]) to {longest}, "
            f"which the model was trained for, got {tokens}"
        )
    if fps is not None and folding is not None:
        raise ParameterError("--fps: expected none together with --fold, got both")
    return {
        "export": export_sha256,
        "board": asdict(board),
        "clock_mhz": board.clock_mhz if clock_mhz is None else clock_mhz,
        "max_tokens": tokens,
        "fps": fps,
        "folding": None if folding is None else _checked_folding(folding, model.dimensions),
    }


def read_folding(path: Path) -> dict[str, Any]:
    """A folding file.

    Raises:
        HardwareFileError: it is missing or isn't one.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise HardwareFileError(f"{path}: expected a folding file, got {error}") from None
    if not isinstance(content, dict) or content.get("format") != FOLDING_FORMAT:
        raise HardwareFileError(
            f"{path}: expected a folding file, as BUILD/{FOLD}/{FOLDING}, got something else"
        )
    return content


def build_steps(export: Path, until: str, toolchain: "Toolchain | None" = None) -> list[Step]:
    """The steps of a build.

    Args:
        export: folder of the export, whose hashes were checked.
        until: `estimate`, `rtl`, `synth` or `bitfile`.
        toolchain: for `bitfile`, unless it is done already.
    """
    steps = (
        Step(LOWER, "encoder.onnx to FINN's hardware graph", partial(_lower, export)),
        Step(FOLD, "parallelism and memories for the board", _fold),
        Step(FIFOS, "FIFO depths by simulating the whole accelerator", _size_fifos),
        Step(RTL, "FINN's code generation, and the structural top", _generate),
        Step(SYNTH, "synthesis of every kernel with Yosys", _synthesize),
        Step(BITFILE, "the bitstream", partial(_make_bitfile, toolchain)),
    )
    return [step for step in steps if step.name in UNTIL[until]]


def board_of(build: BuildFolder) -> Board:
    """The board that a build was asked for."""
    entry = dict(build.request["board"])
    for name in ("resources", "reserve"):
        entry[name] = Resources(**entry[name])
    return Board(**entry)


def _lower(export: Path, build: BuildFolder, folder: Path, say: Say) -> None:
    for name in (MODEL, ENCODER):
        shutil.copyfile(export / name, folder / name)
    shutil.copytree(export / TOKENIZER, folder / TOKENIZER)
    from hw.finn.adapter import finn_session

    residuals = _golden_residuals(load_integer_model(folder / MODEL), build.request["max_tokens"])
    with finn_session(folder / "finn"):
        from hw.finn.lower import lower
        from hw.finn.lower.check import Checker

        checker = Checker(folder / ENCODER, residuals)
        model = lower(folder / ENCODER, build.request["max_tokens"], checker)
        model.save(str(folder / LOWERED))
    say(f"  {len(checker.passes)} passes, each equal to ONNX Runtime on {len(residuals)} sentences")


def _golden_residuals(model: IntegerModel, max_tokens: int) -> list[Any]:
    """Embeddings of the shortest and the longest golden sentence, cut to max_tokens."""
    if "golden.lengths" not in model.tensors:
        raise HardwareFileError(
            "expected an export with golden sentences, got none; export it again"
        )
    lengths = model["golden.lengths"]
    chosen = sorted({int(lengths.argmin()), int(lengths.argmax())})[:CHECKED]
    residuals = []
    for index in chosen:
        n = min(int(lengths[index]), max_tokens)
        ids, types = model["golden.input_ids"][index, :n], model["golden.token_type_ids"][index, :n]
        residuals.append(run_embedding(model, ids, types)["embedding.residual"])
    return residuals


def folding_folder(build: BuildFolder) -> Path:
    """The folder of the folding that is built: of the step `fifos` where that folded again."""
    if FIFOS in build.steps and (build.folder(FIFOS) / FOLDED).is_file():
        return build.folder(FIFOS)
    return build.folder(FOLD)


def _fold(build: BuildFolder, folder: Path, say: Say) -> None:
    from hw.finn.adapter import finn_session

    with finn_session(folder / "finn"):
        try:
            _fold_for(build, board_of(build), folder, say)
        except DoesNotFit as error:
            say(f"  {error}; looking for a weight-streamed one")
            _stream(build, folder, str(error))


def _fold_for(build: BuildFolder, board: Board, folder: Path, say: Say) -> None:
    """Write the folding, the solution and the folded graph for a board. In a session of FINN.

    Raises ParameterError and DoesNotFit as `solve`.
    """
    from qonnx.core.modelwrapper import ModelWrapper

    from hw.finn.lower.fold import fold, kernel_ops
    from hw.finn.ops import register_ops

    register_ops()
    model = ModelWrapper(str(build.folder(LOWER) / LOWERED))
    kernels = {name: op.kernel() for name, op in kernel_ops(model).items()}
    request = build.request
    given, tokens, clock = request["folding"], request["max_tokens"], request["clock_mhz"]
    if given is None:
        wanted = None if request["fps"] is None else rate(request["fps"], tokens)
        solution = solve(kernels, board, tokens, clock_mhz=clock, tokens_per_s=wanted)
    else:
        solution = given_solution(kernels, given["folding"], board, tokens, clock)
    fold(model, _of_kernels(solution.folding, kernels)).save(str(folder / FOLDED))
    content = {
        "format": FOLDING_FORMAT,
        "model": _sizes(load_integer_model(build.folder(LOWER) / MODEL).dimensions),
        "max_tokens": tokens,
        "folding": solution.folding,
    }
    _write_json(folder / FOLDING, content)
    _write_json(folder / SOLUTION, asdict(replace(solution, budget=board_of(build).budget)))
    say(
        f"  {solution.cycles} cycles a token, {solution.total.lut:,} LUT, "
        f"{solution.total.bram18 / 2:g} BRAM36 (estimated)"
    )


def _stream(build: BuildFolder, folder: Path, reason: str) -> None:
    """The plan of a weight-streamed encoder, for a model that doesn't fit as a whole."""
    from hw.streamed.choose import choose

    request = build.request
    model = load_integer_model(build.folder(LOWER) / MODEL)
    sizes = replace(model.dimensions, max_tokens=request["max_tokens"])
    try:
        plan = choose(sizes, model.formats, board_of(build), clock_mhz=request["clock_mhz"])
    except DoesNotFit as error:
        streamed = str(error).removeprefix("board: ")
        raise ParameterError(f"{reason}; weight-streamed: {streamed}") from None
    lengths = sorted({length for length in STREAMED_LENGTHS if length < sizes.max_tokens})
    content = {
        "reason": reason,
        "total": plan.total.as_dict(),
        "nodes": {name: amount.as_dict() for name, amount in plan.nodes.items()},
        "macs": plan.macs,
        "batch_tokens": plan.encoder.batch_tokens,
        "performance": [asdict(plan.performance(n)) for n in (*lengths, sizes.max_tokens)],
    }
    _write_json(folder / STREAMED, content)


def _of_kernels(folding: Mapping[str, Any], kernels: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a folding that is not of FIFOs."""
    return {name: dict(fields) for name, fields in folding.items() if name in kernels}


def _size_fifos(build: BuildFolder, folder: Path, say: Say) -> None:
    from hw.finn.adapter import finn_session
    from hw.timing import measure

    if (build.folder(FOLD) / STREAMED).is_file():
        raise HardwareFileError(
            f"{build.path}: expected a model that fits as a whole, got one that must be "
            f"weight-streamed, which is estimated only (BUILD/{FOLD}/{STREAMED}); "
            "use --until estimate, or a larger board"
        )
    board = board_of(build)
    with finn_session(folder / "finn"):
        sized = _sized(build.folder(FOLD), board, say)
        if build.request["folding"] is None and not _total(sized, board).fits(board.budget):
            sized = _folded_again(build, sized, folder, say) or sized
    depths = {name: {"depth": k.depth, "ram": k.ram} for name, k in sized.fifos().items()}
    _write_json(folder / DEPTHS, depths)
    _write_json(folder / TIMING, [asdict(timing) for timing in measure(sized)])
    say(f"  {sum(k.depth > 2 for k in sized.fifos().values())} of {len(depths)} deeper than 2")


def _sized(folded: Path, board: Board, say: Say) -> Design:
    """The design of a folding, its FIFOs as deep as simulation finds. In a session of FINN."""
    from qonnx.core.modelwrapper import ModelWrapper

    from hw.finn.design import design_of
    from hw.finn.ops import register_ops
    from hw.finn.streams import build_graph
    from hw.sim.fifo_depths import size_fifos, with_depths

    register_ops()
    model = ModelWrapper(str(folded / FOLDED))
    design = design_of(build_graph(model, {}), name=NAME, properties={})
    folding = _read_json(folded / FOLDING)["folding"]
    rams = {name: fields["ram"] for name, fields in folding.items() if "ram" in fields}
    found = size_fifos(design, report=lambda line: say(f"  {line}"))
    least = waiting_room(design)
    sized = with_depths(
        design,
        {name: max(int(entry["depth"]), least.get(name, 0)) for name, entry in found.items()},
    )
    return sized.with_kernels(place_fifos(sized, board, rams))


def _folded_again(build: BuildFolder, sized: Design, folder: Path, say: Say) -> Design | None:
    """A design that keeps to the budget with its FIFOs, and its folding in the folder.

    The solver plans FIFOs without simulation. What they took more than planned is kept free of the
    budget that it gets, until a design fits; None where none does.
    """
    board, free, planned = board_of(build), Resources(), build.folder(FOLD)
    for _ in range(REFOLDINGS):
        total = _total(sized, board)
        say(f"  {_listed(total.excess(board.budget))} more than {board.name} has: folding again")
        more = total.excess(Resources(**_read_json(planned / SOLUTION)["total"]))
        free = Resources(*map(max, free.amounts(), more.amounts()))
        try:
            _fold_for(build, replace(board, reserve=board.reserve + free), folder, say)
        except ParameterError as error:
            say(f"  with {_listed(free)} kept free for FIFOs: {error}")
            break
        planned, sized = folder, _sized(folder, board, say)
        if _total(sized, board).fits(board.budget):
            return sized
    for name in (FOLDED, FOLDING, SOLUTION):
        (folder / name).unlink(missing_ok=True)
    return None


def _listed(amounts: Resources) -> str:
    """Those that there are something of."""
    listed = ((LABELS[name], amount) for name, amount in amounts.as_dict().items() if amount)
    return ", ".join(f"{amount:,} {label}" for label, amount in listed)


def _generate(build: BuildFolder, folder: Path, say: Say) -> None:
    from hw.draw import draw
    from hw.finn.adapter import finn_session
    from hw.stitch import write_design

    board, depths = board_of(build), _read_json(build.folder(FIFOS) / DEPTHS)
    properties = {
        "model_hash": _sha256(build.folder(LOWER) / MODEL),
        "board": board.name,
        "part": board.part,
        "clock_mhz": build.request["clock_mhz"],
        "clock_khz": round(1000 * build.request["clock_mhz"]),
    }
    with finn_session(folder / "finn"):
        from qonnx.core.modelwrapper import ModelWrapper

        from hw.finn.builder import generate, write_configs
        from hw.finn.design import design_of
        from hw.finn.ops import register_ops
        from hw.finn.streams import build_graph

        register_ops()
        folded = ModelWrapper(str(folding_folder(build) / FOLDED))
        final = build_graph(folded, depths)
        final.save(str(folder / FINAL))
        design = design_of(final, name=NAME, properties=properties)
        write_configs(folder, folded, final, board.part)
        clock, name = build.request["clock_mhz"], board.finn_name or None
        generate(folded, folder, board.part, clock, name).save(str(folder / GENERATED))
    write_design(design, folder / DESIGN_FOLDER)
    _write_json(folder / ESTIMATE, _estimate(design, board, say))
    write_atomically(folder / "design.svg", draw(design).encode())


def _estimate(design: Design, board: Board, say: Say) -> dict[str, Any]:
    """Resources by instance of a design, its FIFOs as deep as simulation made them."""
    nodes = _nodes(design, board)
    total = Resources.total(nodes.values())
    if not total.fits(board.budget):
        say(f"  note: estimated at more than the budget of {board.name}: {total.as_dict()}")
    return {
        "total": total.as_dict(),
        "nodes": {name: amount.as_dict() for name, amount in nodes.items()},
    }


def _nodes(design: Design, board: Board) -> dict[str, Resources]:
    """What each instance takes."""
    return {name: resources_of(kernel, board.family) for name, kernel in design.instances.items()}


def _total(design: Design, board: Board) -> Resources:
    return Resources.total(_nodes(design, board).values())


def _synthesize(build: BuildFolder, folder: Path, say: Say) -> None:
    from hw.synth.design import synthesize_design

    design = load_design(build.folder(RTL) / DESIGN_FOLDER / DESIGN)
    family = board_of(build).family
    nodes = synthesize_design(design, family, lambda line: say(f"  {line}"))
    total = Resources.total(nodes.values())
    content = {
        "total": total.as_dict(),
        "nodes": {name: amount.as_dict() for name, amount in nodes.items()},
    }
    _write_json(folder / SYNTHESIZED, content)
    say(f"  {total.lut:,} LUT, {total.bram18 / 2:g} BRAM36, {total.uram} URAM, {total.dsp} DSP")


def _make_bitfile(
    toolchain: "Toolchain | None", build: BuildFolder, folder: Path, say: Say
) -> None:
    from hw.bitfile.step import make_bitfile

    assert toolchain is not None
    rtl = build.folder(RTL) / DESIGN_FOLDER
    design, mhz = load_design(rtl / DESIGN), float(build.request["clock_mhz"])
    make_bitfile(toolchain, design, rtl, board_of(build), mhz, folder, say)


def _checked_folding(content: Mapping[str, Any], dimensions: Dimensions) -> dict[str, Any]:
    if content.get("model") != _sizes(dimensions) or not isinstance(content.get("folding"), dict):
        raise ParameterError(
            f"--fold: expected a folding for {_sizes(dimensions)}, got {content.get('model')}"
        )
    return dict(content)


def _sizes(dimensions: Dimensions) -> dict[str, Any]:
    """What of a model a folding depends on."""
    names = ("layers", "hidden", "heads", "ffn", "attention")
    return {name: getattr(dimensions, name) for name in names}


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def _write_json(path: Path, content: Any) -> None:
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
