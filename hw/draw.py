"""A drawing of a design: SVG with one row a layer, kernels as boxes, streams between them.

FIFOs and width converters are no boxes but marks on the streams: at the end of each stream stand
its bits, and the depth of its FIFO in a small box.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from hw.design import TOP, Design, End
from hw.kernels.kernel import Kernel
from hw.kernels.stream import StreamFifo, WidthConverter

BOX_WIDTH, LINE, PORT = 158, 14, 22  # pixels: width of a box, height of a line and of a port
GAP_X, GAP_Y, LANE = 150, 46, 7  # between columns, between rows, between streams side by side
MARGIN = 24
COLOURS = {
    "BinaryMvu": "#cfe3f7",
    "BinaryAttention": "#f7dccf",
    "AddNorm": "#d8f0d2",
    "ChannelThreshold": "#eee6c8",
    "StreamFork": "#e4e4e4",
    "LoadChain": "#e4e4e4",
}
FOLDING = ("pe", "simd", "tokens", "keys", "channels", "lanes", "copies", "count")
STYLE = (
    "text{font:11px sans-serif;fill:#222}.name{font-weight:bold}.small{font-size:9px;fill:#555}"
    "path{fill:none;stroke:#557;stroke-width:1.2}.wide{stroke-width:2.4}"
)


@dataclass(frozen=True)
class Stream:
    """A stream from one kernel to another, through a converter and a FIFO if there are any."""

    source: End
    target: End
    bits: int
    converted: str  # widths, if there is a converter
    fifo: StreamFifo | None


@dataclass
class Box:
    """A kernel, or a port of the design, and where it lies."""

    name: str
    lines: list[str]
    colour: str
    row: int
    column: int = 0
    inputs: list[str] = field(default_factory=list)
    x: int = 0
    y: int = 0

    @property
    def height(self) -> int:
        """Pixels."""
        return max(LINE * len(self.lines) + 12, PORT * len(self.inputs) + 8)


def draw(design: Design) -> str:
    """The drawing as the text of an SVG file; the same design gives the same text."""
    streams = list(_streams(design))
    boxes = _boxes(design, streams)
    width, height, bottoms = _place(boxes, streams)
    shapes = [_box(box) for box in boxes.values()]
    lanes: dict[int, int] = {}  # streams so far that use the space below each row
    for stream in streams:
        shapes.append(_stream(stream, boxes, bottoms, lanes))
    title = f"{design.name}: {len(design.instances)} instances"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="a" markerWidth="7" markerHeight="6" refX="6" refY="3" orient="auto">'
        '<path d="M0,0L6,3L0,6" style="fill:#557;stroke:none"/></marker></defs>\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n' + "".join(shapes) + "</svg>\n"
    )


def _streams(design: Design) -> Iterator[Stream]:
    """Streams between kernels and ports; parts on the way become their attributes."""
    sources = {c.target: c.source for c in design.connections}
    for connection in design.connections:
        target, source = connection.target, connection.source
        kernel = design.instances.get(target.instance)
        if isinstance(kernel, StreamFifo | WidthConverter):
            continue
        fifo, converted = None, ""
        while isinstance(
            part := design.instances.get(source.instance), StreamFifo | WidthConverter
        ):
            if isinstance(part, StreamFifo):
                fifo = part
            else:
                converted = f"{part.in_bits}→{part.out_bits}"
            source = sources[End(source.instance, "s_axis")]
        yield Stream(source, target, design.stream(target).width, converted, fifo)


def _boxes(design: Design, streams: list[Stream]) -> dict[str, Box]:
    """Boxes by name; ports of the design by the port's."""
    boxes = {
        _key(End(TOP, port.name)): Box(port.name, [port.name, f"{port.width} bits"], "white", 0)
        for port in design.ports
    }
    for name, kernel in design.instances.items():
        if not isinstance(kernel, StreamFifo | WidthConverter):
            layer = re.match(r"layer(\d+)_", name)
            row = 1 + int(layer[1]) if layer else 0
            kind = type(kernel).__name__
            lines = [name, kind, _folding(kernel)]
            boxes[name] = Box(name, lines, COLOURS.get(kind, "#eeeeee"), row)
    last = max(box.row for box in boxes.values())
    for stream in streams:
        target = boxes[_key(stream.target)]
        target.inputs.append(stream.target.port)
        if stream.target.instance == TOP:
            target.row = last
    return boxes


def _place(boxes: Mapping[str, Box], streams: list[Stream]) -> tuple[int, int, dict[int, int]]:
    """Columns by the longest way inside a row; sizes; the lower edge of each row."""
    for _ in boxes:  # at most so many steps to the end of any way
        moved = False
        for stream in streams:
            source, target = boxes[_key(stream.source)], boxes[_key(stream.target)]
            if source.row == target.row and target.column <= source.column:
                target.column, moved = source.column + 1, True
        if not moved:
            break
    bottoms, top = {}, MARGIN
    for row in sorted({box.row for box in boxes.values()}):
        below: dict[int, int] = {}
        for box in (box for box in boxes.values() if box.row == row):
            box.x = MARGIN + GAP_X + box.column * (BOX_WIDTH + GAP_X)
            box.y = below.get(box.column, top)
            below[box.column] = box.y + box.height + LINE
        bottoms[row] = max(below.values())
        crossing = sum(_leaves_row(stream, boxes, row) for stream in streams)
        top = bottoms[row] + GAP_Y + LANE * crossing
    width = max(box.x for box in boxes.values()) + BOX_WIDTH + MARGIN
    return width, top, bottoms


def _leaves_row(stream: Stream, boxes: Mapping[str, Box], row: int) -> bool:
    """Whether a stream goes along below a row: to another row, or past a box."""
    source, target = boxes[_key(stream.source)], boxes[_key(stream.target)]
    near = target.row == source.row and target.column == source.column + 1
    return source.row == row and not near


def _key(end: End) -> str:
    return end.instance or f"port {end.port}"


def _folding(kernel: Kernel) -> str:
    values = [f"{name} {getattr(kernel, name)}" for name in FOLDING if hasattr(kernel, name)]
    return ", ".join(values)


def _box(box: Box) -> str:
    classes = ["name", "", "small"]
    texts = [
        f'<text class="{classes[min(i, 2)]}" x="{box.x + BOX_WIDTH // 2}" '
        f'y="{box.y + LINE * (i + 1) + 2}" text-anchor="middle">{escape(line)}</text>\n'
        for i, line in enumerate(box.lines)
    ]
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{BOX_WIDTH}" height="{box.height}" rx="5" '
        f'fill="{box.colour}" stroke="#444"/>\n' + "".join(texts)
    )


def _stream(
    stream: Stream, boxes: Mapping[str, Box], bottoms: Mapping[int, int], lanes: dict[int, int]
) -> str:
    source, target = boxes[_key(stream.source)], boxes[_key(stream.target)]
    x0, y0 = source.x + BOX_WIDTH, source.y + source.height // 2
    place = target.inputs.index(stream.target.port)
    x1, y1 = target.x, target.y + PORT * (2 * place + 1) // 2 + 4
    if _leaves_row(stream, boxes, source.row):
        lane = lanes[source.row] = lanes.get(source.row, 0) + 1
        low = bottoms[source.row] + LANE * lane
        out, into = x0 + 8 + LANE * (lane % 8), x1 - GAP_X + 12 + LANE * (lane % 6)
        path = f"M{x0},{y0}H{out}V{low}H{into}V{y1}H{x1}"
    else:
        middle = x0 + 40
        path = f"M{x0},{y0}C{middle},{y0} {middle},{y1} {x0 + 56},{y1}H{x1}"
    wide = "wide" if stream.bits > 16 else ""
    return f'<path class="{wide}" d="{path}" marker-end="url(#a)"/>\n' + _marks(stream, x1, y1)


def _marks(stream: Stream, x: int, y: int) -> str:
    """At the end of a stream: its bits, and its FIFO's depth in a box."""
    label = f"{stream.converted or stream.bits} b"
    text = f'<text class="small" x="{x - 84}" y="{y - 3}">{escape(label)}</text>\n'
    if stream.fifo is None:
        return text
    return (
        f'{text}<rect x="{x - 40}" y="{y - 7}" width="30" height="13" fill="#fff" '
        f'stroke="#557"/>\n<text class="small" x="{x - 25}" y="{y + 3}" '
        f'text-anchor="middle">{stream.fifo.depth}</text>\n'
    )
