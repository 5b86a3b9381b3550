"""The SystemVerilog of a layer's hardware: instances and constants only.

`streamed_layer` has the kernels of a layer, a width converter where widths differ, and a FIFO in
front of every kernel. The load bus passes the kernels in the order of KERNELS, with a register
(`load_hop`) in front of each. streamed_encoder.sv surrounds it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hw.errors import ParameterError
from hw.kernels.attention import BinaryAttention
from hw.kernels.kernel import StreamPort
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFifo, WidthConverter
from hw.streamed.encoder import INDEX_BITS, KERNELS, RAMS, BankedKernel, StreamedEncoder

RTL = Path(__file__).parent
TOP = ""  # the module itself, as an end of a connection

# Source and target: instance and port. In the order of the data.
CONNECTIONS = (
    ((TOP, "s_axis"), ("input_threshold", "s_axis")),
    (("input_threshold", "m_axis_bits0"), ("query", "s_axis")),
    (("input_threshold", "m_axis_bits1"), ("key", "s_axis")),
    (("input_threshold", "m_axis_bits2"), ("value", "s_axis")),
    (("query", "m_axis"), ("attention", "s_axis_query")),
    (("key", "m_axis"), ("attention", "s_axis_key")),
    (("value", "m_axis"), ("attention", "s_axis_value")),
    ((TOP, "s_axis_length"), ("attention", "s_axis_length")),
    (("attention", "m_axis"), ("output", "s_axis")),
    (("input_threshold", "m_axis_residual"), ("attention_norm", "s_axis_residual")),
    (("output", "m_axis"), ("attention_norm", "s_axis_accumulator")),
    (("attention_norm", "m_axis_bits0"), ("up", "s_axis")),
    (("up", "m_axis"), ("down", "s_axis")),
    (("attention_norm", "m_axis_residual"), ("ffn_norm", "s_axis_residual")),
    (("down", "m_axis"), ("ffn_norm", "s_axis_accumulator")),
    (("ffn_norm", "m_axis_residual"), (TOP, "m_axis")),
)

HEADER = """\
// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// One encoder layer whose constants come by the load bus. Made by hw/streamed/top.py.
"""


@dataclass(frozen=True)
class Part:
    """A stream part in front of a kernel."""

    name: str
    kernel: StreamFifo | WidthConverter
    source: str  # its wires' names without _tdata
    target: str


def parameters(
    kernel: BankedKernel, load_bits: int, base: int, banks: int = 2
) -> dict[str, int | str]:
    """Parameters of a kernel's module with two banks of constants, or one that is filled (0)."""
    values = kernel.parameters()
    if isinstance(kernel, BinaryMvu):
        values |= {"LOADABLE": 0, "WEIGHT_FILE": ""}
    held = {"BANKED": 1} if isinstance(kernel, BinaryAttention) else {"BANKS": banks}
    return values | held | {"LOAD_BITS": load_bits, "LOAD_BASE": base}


def encoder_parameters(encoder: StreamedEncoder) -> dict[str, int | str]:
    """Parameters of `streamed_encoder`."""
    loop = encoder.fifo("loop").parameters()
    return {
        "LAYERS": encoder.layers,
        "BEATS": encoder.input.beats,
        "BEAT_BITS": encoder.residual_bits,
        "LENGTH_BITS": encoder.max_tokens.bit_length(),
        "MAX_SENTENCES": encoder.batch_sentences,
        "TOKEN_BITS": encoder.batch_tokens.bit_length(),
        "IMAGE_BEATS": encoder.image_beats,
        "GAP_BEATS": encoder.gap_beats,
        "LOAD_BITS": encoder.load_bits,
        "LOOP_DEPTH": loop["DEPTH"] if encoder.loop == "chip" else 0,
        "LOOP_STYLE": loop["RAM_STYLE"],
    }


def layer_text(encoder: StreamedEncoder) -> str:
    """The module `streamed_layer`."""
    lines = [HEADER + "`default_nettype none\n", *_header(encoder)]
    for end in KERNELS:
        lines += _wires(encoder, end)
    for part in parts(encoder):
        lines += _part(part)
    lines += _boundary()
    bases = encoder.bases()
    for index, (name, kernel) in enumerate(encoder.kernels.items()):
        bus, previous = f"load_{name}", "load" if not index else f"load_{KERNELS[index - 1]}"
        lines += [
            f"  wire logic [{encoder.load_bits + INDEX_BITS + 1}:0] {bus};",
            f"  load_hop #(.LOAD_BITS({encoder.load_bits})) u_{bus} "
            f"(.clk, .rst_n, .load({previous}), .next({bus}));",
        ]
        ports = [".clk", ".rst_n(layer_rst_n)", f".load({bus})"]
        ports += [p for port in kernel.streams() for p in _pins(port.name, f"{name}_{port.name}")]
        banks = 0 if name in encoder.single else 2
        values = parameters(kernel, encoder.load_bits, bases[name], banks)
        lines += _instance(kernel.module, f"u_{name}", values, ports)
    return "\n".join([*lines, "endmodule\n", "`default_nettype wire\n"])


def parts(encoder: StreamedEncoder) -> Iterator[Part]:
    """Width converters and FIFOs, in the order of the data."""
    for (source, output), (target, port) in CONNECTIONS:
        if target == TOP:
            continue
        stream = _stream(encoder.kernels[target], port)
        wire = f"{source}_{output}" if source else f"in_{output}"
        name = f"{target}_{port.removeprefix('s_axis').removeprefix('_') or 'in'}"
        width = stream.width
        if source:
            width = _stream(encoder.kernels[source], output).width
        if width != stream.width:
            converted = f"{name}_width"
            yield Part(converted, WidthConverter(width, stream.width), wire, converted)
            wire = converted
        yield Part(f"{name}_fifo", _fifo(encoder, name, stream), wire, f"{target}_{port}")


def _fifo(encoder: StreamedEncoder, name: str, stream: StreamPort) -> StreamFifo:
    return encoder.fifo(name) if name in RAMS else StreamFifo(stream.width, encoder.fifo_depth)


def _stream(kernel: BankedKernel, name: str) -> StreamPort:
    return next(port for port in kernel.streams() if port.name == name)


def _header(encoder: StreamedEncoder) -> list[str]:
    residual, length = encoder.residual_bits, encoder.max_tokens.bit_length()
    lines = ["module streamed_layer (", "    input wire logic clk,", "    input wire logic rst_n,"]
    lines += ["    input wire logic layer_rst_n,"]
    lines += [f"    input wire logic [{encoder.load_bits + INDEX_BITS + 1}:0] load,"]
    for name, width, enters in (
        ("s_axis", residual, True),
        ("s_axis_length", length, True),
        ("m_axis", residual, False),
    ):
        into, back = ("input", "output") if enters else ("output", "input")
        lines += [
            f"    {into} wire logic [{width - 1}:0] {name}_tdata,",
            f"    {into} wire logic {name}_tvalid,",
            f"    {back} wire logic {name}_tready,",
        ]
    return [*lines[:-1], lines[-1].rstrip(","), ");", ""]


def _wires(encoder: StreamedEncoder, name: str) -> list[str]:
    """Wires of a kernel's streams; those that it doesn't use get nothing and wait for nothing."""
    kernel, lines = encoder.kernels[name], []
    for port in kernel.streams():
        wire, used = f"{name}_{port.name}", port.used and port.name != "s_axis_weights"
        lines += _stream_wires(wire, port.width)
        if not used and port.enters:
            lines += [f"  assign {wire}_tdata = '0;", f"  assign {wire}_tvalid = 1'b0;"]
            lines += [f"  wire unused_{wire} = {wire}_tready;"]
        elif not used:
            lines += [f"  assign {wire}_tready = 1'b1;"]
            lines += [f"  wire unused_{wire} = &{{{wire}_tdata, {wire}_tvalid}};"]
    return lines


def _stream_wires(wire: str, width: int) -> list[str]:
    return [
        f"  wire logic [{width - 1}:0] {wire}_tdata;",
        f"  wire logic {wire}_tvalid, {wire}_tready;",
    ]


def _part(part: Part) -> list[str]:
    lines, kernel = [], part.kernel
    source = part.source.removeprefix("in_") if part.source.startswith("in_s_") else part.source
    ports = [".clk", ".rst_n(layer_rst_n)"]
    ports += [*_pins("s_axis", source), *_pins("m_axis", part.target)]
    if isinstance(kernel, StreamFifo):
        bits = kernel.depth.bit_length()
        for name in ("level", "high_water"):
            lines += [f"  wire logic [{bits - 1}:0] unused_{part.name}_{name};"]
            ports += [f".{name}(unused_{part.name}_{name})"]
    else:
        lines += _stream_wires(part.target, kernel.out_bits)
    return [*lines, *_instance(kernel.module, f"u_{part.name}", kernel.parameters(), ports)]


def _boundary() -> list[str]:
    (source, output), _ = CONNECTIONS[-1]
    wire = f"{source}_{output}"
    return [
        f"  assign m_axis_tdata = {wire}_tdata;",
        f"  assign m_axis_tvalid = {wire}_tvalid;",
        f"  assign {wire}_tready = m_axis_tready;",
    ]


def _pins(port: str, wire: str) -> list[str]:
    return [f".{port}_{s}({wire}_{s})" for s in ("tdata", "tvalid", "tready")]


def _instance(module: str, name: str, values: dict[str, int | str], ports: list[str]) -> list[str]:
    constants = [f".{k}({_literal(v)})" for k, v in values.items()]
    return [
        f"  {module} #(",
        *(f"      {text}," for text in constants[:-1]),
        f"      {constants[-1]}",
        f"  ) {name} (",
        *(f"      {text}," for text in ports[:-1]),
        f"      {ports[-1]}",
        "  );",
    ]


def _literal(value: int | str) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def check_widths(encoder: StreamedEncoder) -> None:
    """Raise ParameterError if the residual's beats differ between the kernels."""
    lanes = encoder.input.lanes
    for norm in ("attention_norm", "ffn_norm"):
        if encoder.norm(norm).lanes != lanes:
            raise ParameterError(
                f"{norm}.lanes: expected {lanes}, those of input_threshold, "
                f"got {encoder.norm(norm).lanes}"
            )
