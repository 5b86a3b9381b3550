"""Plain Verilog around a kernel's module: FINN's port names, streams padded to bytes."""

from hw.kernels.kernel import Kernel, StreamPort


def wrapper(top: str, kernel: Kernel) -> str:
    """The module `top`: instance and constants only.

    The i-th used stream that enters is `in{i}_V`, the i-th that leaves `out{i}_V`. Memory files lie
    in the same folder: FINN makes names that start with "./" absolute.
    """
    ports = ["    input ap_clk", "    input ap_rst_n"]
    wires: list[str] = []
    pins: list[str] = ["      .clk(ap_clk)", "      .rst_n(ap_rst_n)"]
    used = {True: 0, False: 0}
    groups: dict[str, list[StreamPort]] = {}
    for stream in kernel.streams():
        groups.setdefault(stream.name, []).append(stream)
    for name, streams in groups.items():
        if not streams[0].used:
            pins += _unused(streams[0])
            continue
        names = []
        for stream in streams:
            prefix = "in" if stream.enters else "out"
            names.append(f"{prefix}{used[stream.enters]}_V")
            used[stream.enters] += 1
            ports += _ports(names[-1], stream)
        pins += _pins(name, names, streams[0])
        if not streams[0].enters:
            wires += _wires(name, names, streams[0])
    memories = set(kernel.memory_shapes())
    parameters = [
        f"      .{name}({_constant(value, memories)})"
        for name, value in kernel.parameters().items()
    ]
    return "\n".join(
        [
            f"module {top} (",
            ",\n".join(ports),
            ");",
            *wires,
            f"  {kernel.module} #(",
            ",\n".join(parameters),
            "  ) core (",
            ",\n".join(pins),
            "  );",
            "endmodule",
            "",
        ]
    )


def _constant(value: int | str, memories: set[str]) -> str:
    if isinstance(value, int):
        return str(value)
    return f'"./{value}"' if value in memories else '""'


def _ports(name: str, stream: StreamPort) -> list[str]:
    there, back = ("input", "output") if stream.enters else ("output", "input")
    bits = 8 * -(-stream.width // 8)
    return [
        f"    {there} [{bits - 1}:0] {name}_TDATA",
        f"    {there} {name}_TVALID",
        f"    {back} {name}_TREADY",
    ]


def _wires(port: str, names: list[str], stream: StreamPort) -> list[str]:
    """The data of an output: the ports are wider than it."""
    wire = f"{port}_data"
    assigns = [f"  assign {name}_TDATA = {wire};" for name in names]
    return [f"  wire [{stream.width - 1}:0] {wire};", *assigns]


def _pins(port: str, names: list[str], stream: StreamPort) -> list[str]:
    data = f"{names[0]}_TDATA[{stream.width - 1}:0]" if stream.enters else f"{port}_data"
    pins = [f"      .{port}_tdata({data})"]
    for signal in ("valid", "ready"):
        joined = ", ".join(f"{name}_T{signal.upper()}" for name in reversed(names))
        value = f"{{{joined}}}" if stream.copy is not None else joined
        pins.append(f"      .{port}_t{signal}({value})")
    return pins


def _unused(stream: StreamPort) -> list[str]:
    if stream.enters:
        pins = {"tdata": f"{stream.width}'b0", "tvalid": "1'b0", "tready": ""}
    else:
        pins = {"tdata": "", "tvalid": "", "tready": "1'b1"}
    return [f"      .{stream.name}_{signal}({value})" for signal, value in pins.items()]
