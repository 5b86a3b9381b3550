"""A plot of accuracy against what models take: rows of panels, as SVG.

A column is an amount (LUTs, block RAMs) with the boards' budgets as dashed lines, a row a task with
its own scale, or names one below the other. Marks of a model lie on a line; the texts beside them
and its name go where nothing else lies.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

SHAPES = ("circle", "square", "diamond")
COLOURS = (
    *("#0b5cad", "#b3400e", "#1f7a33", "#7a3fa0", "#a3195b"),
    *("#00707a", "#7a6000", "#444444", "#6b2a1e", "#2b2f9e"),
)
# Pixels, of letters and of the parts of the page.
FONT, CHARACTER, LINE = 13, 8.3, 17
LEFT, WIDTH, GAP, HEIGHT, NAME_HEIGHT = 160, 430, 60, 260, 48
HEAD, BETWEEN, FOOT, MARK = 72, 66, 86, 5
STYLE = (
    f"text{{font:{FONT}px sans-serif;fill:#222}}.b{{font-weight:bold}}"
    ".h{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}"
    ".m{stroke:#fff}.g{stroke:#e4e4e4}.f{fill:none;stroke:#888}.d{stroke:#333;stroke-dasharray:6 4}"
)


@dataclass(frozen=True)
class Column:
    """An axis of amounts, from 0 on; `budgets` by board."""

    title: str
    budgets: Mapping[str, float]


@dataclass(frozen=True)
class Series:
    """A model: a line at `value` with a mark for each amount, which `texts` name.

    `amounts` and `notes`, which follow the name, are by the column's title; `board` is the name of
    the board that the marks are for, or "" where there are none.
    """

    name: str
    board: str
    value: float
    texts: Sequence[str]
    amounts: Mapping[str, Sequence[float]]
    notes: Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """Models on one scale of values; without `scaled`, one below the other, values unused."""

    title: str
    series: Sequence[Series]
    scaled: bool = True

    @property
    def height(self) -> int:
        """Pixels of its panels."""
        return HEIGHT if self.scaled else NAME_HEIGHT * len(self.series) + 12


@dataclass(frozen=True)
class Box:
    """A rectangle of the page: left, top, right, bottom, in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float

    def meets(self, other: "Box") -> bool:
        """Whether they overlap."""
        apart = self.x1 <= other.x0 or other.x1 <= self.x0
        return not (apart or self.y1 <= other.y0 or other.y1 <= self.y0)

    def within(self, other: "Box") -> bool:
        """Whether it lies inside another."""
        inside = other.x0 <= self.x0 and self.x1 <= other.x1
        return inside and other.y0 <= self.y0 and self.y1 <= other.y1


@dataclass
class Labels:
    """Texts of a panel: each goes to the first place where it lies inside and meets nothing."""

    frame: Box
    taken: list[Box] = field(default_factory=list)

    def put(self, text: str, places: Sequence[tuple[float, float, str]], style: str) -> str:
        """The text at the first free one of places (x, base line y, anchor), else at the first."""
        # Judged where they are drawn: `_text` writes tenths.
        places = [(round(x, 1), round(y, 1), anchor) for x, y, anchor in places]
        boxes = [text_box(text, *place) for place in places]
        free = [i for i, box in enumerate(boxes) if self._is_free(box)]
        chosen = free[0] if free else 0
        self.taken.append(boxes[chosen])
        return _text(text, *places[chosen], style)

    def _is_free(self, box: Box) -> bool:
        return box.within(self.frame) and not any(box.meets(other) for other in self.taken)


def draw(title: str, columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """The plot as the text of an SVG file; the same arguments give the same text."""
    boards = list(dict.fromkeys(board for column in columns for board in column.budgets))
    names = list(dict.fromkeys(series.name for row in rows for series in row.series))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    shapes = {board: SHAPES[i % len(SHAPES)] for i, board in enumerate(boards)}
    parts: list[str] = []
    top = HEAD + LINE * len(boards)
    for row in rows:
        for index, column in enumerate(columns):
            left = LEFT + index * (WIDTH + GAP)
            panel = _Panel(Box(left, top, left + WIDTH, top + row.height), column, row)
            parts += panel.drawn(colours, shapes)
            if row is rows[0]:
                parts += panel.budget_texts()
        above = LINE * len(boards) if row is rows[0] else 0
        parts.append(_text(row.title, LEFT, top - 10 - above, "start", 'class="b"'))
        top += row.height + BETWEEN
    width = LEFT + len(columns) * (WIDTH + GAP)
    height = top - BETWEEN + FOOT
    parts += _legend(title, shapes, height - 14)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">\n<title>{escape(title)}</title>\n'
        f'<style>{STYLE}</style>\n<rect width="{width}" height="{height}" fill="#fff"/>\n'
        + "".join(parts)
        + "</svg>\n"
    )


@dataclass(frozen=True)
class _Panel:
    frame: Box
    column: Column
    row: Row

    def x(self, amount: float) -> float:
        """Where an amount lies."""
        amounts = [a for s in self.row.series for a in s.amounts[self.column.title]]
        most = 1.08 * max([*self.column.budgets.values(), *amounts])
        return self.frame.x0 + WIDTH * amount / most

    def y(self, series: Series) -> float:
        """Where a model's line lies."""
        if self.row.scaled:
            return self._height(series.value)
        return self.frame.y0 + NAME_HEIGHT * (self.row.series.index(series) + 0.7)

    def drawn(self, colours: Mapping[str, str], shapes: Mapping[str, str]) -> Iterator[str]:
        """The panel: axes below lines and marks, below texts."""
        yield from self._axes()
        labels = Labels(self.frame)
        for series in self.row.series:
            yield from self._marks(series, colours[series.name], shapes, labels)
        for series in self.row.series:
            yield self._name(series, colours[series.name], labels)
        for series in self.row.series:
            yield from self._texts(series, colours[series.name], labels)

    def budget_texts(self) -> Iterator[str]:
        """Above the frame, a line for each board."""
        budgets = self.column.budgets
        for i, (board, amount) in enumerate(budgets.items()):
            y = self.frame.y0 - 10 - LINE * (len(budgets) - 1 - i)
            text = f"{board}: {amount:,g}"
            yield _text(text, self.x(amount) + 4, y, "end", 'class="h"')

    def _height(self, value: float) -> float:
        low, high = _range([series.value for series in self.row.series])
        return self.frame.y1 - HEIGHT * (value - low) / (high - low)

    def _axes(self) -> Iterator[str]:
        f = self.frame
        for amount in _ticks(0, WIDTH / (self.x(1) - f.x0)):
            x = self.x(amount)
            yield f'<path class="g" d="M{x:.1f},{f.y0:g}V{f.y1:g}"/>\n'
            yield _text(f"{amount:,g}", x, f.y1 + LINE, "middle")
        yield _text(self.column.title, (f.x0 + f.x1) / 2, f.y1 + 2 * LINE, "middle")
        if self.row.scaled:
            for value in _ticks(*_range([series.value for series in self.row.series])):
                y = self._height(value)
                yield f'<path class="g" d="M{f.x0:g},{y:.1f}H{f.x1:g}"/>\n'
                yield _text(f"{value:g}", f.x0 - 6, y + 4, "end")
        for amount in self.column.budgets.values():
            yield f'<path class="d" d="M{self.x(amount):.1f},{f.y0:g}V{f.y1:g}"/>\n'
        size = f'width="{WIDTH}" height="{f.y1 - f.y0:g}"'
        yield f'<rect class="f" x="{f.x0:g}" y="{f.y0:g}" {size}/>\n'

    def _marks(
        self, series: Series, colour: str, shapes: Mapping[str, str], labels: Labels
    ) -> Iterator[str]:
        xs, y = [self.x(a) for a in series.amounts[self.column.title]], self.y(series)
        if xs:
            yield f'<path d="M{min(xs):.1f},{y:.1f}H{max(xs):.1f}" stroke="{colour}"/>\n'
        for x in xs:
            labels.taken.append(Box(x - MARK, y - MARK, x + MARK, y + MARK))
            yield _mark(x, y, shapes[series.board], colour)

    def _name(self, series: Series, colour: str, labels: Labels) -> str:
        note, y = series.notes.get(self.column.title, ""), self.y(series) + 4
        style = f'class="b h" style="fill:{colour}"'
        name, text = "", f"{series.name} {note}".strip()
        if not self.row.scaled:
            text = note
            if self.frame.x0 == LEFT:
                name = _text(series.name, LEFT - 6, y, "end", style)
        return name + (labels.put(text, self._beside(series, y), style) if text else "")

    def _beside(self, series: Series, y: float) -> list[tuple[float, float, str]]:
        """Places (x, y, anchor) for a model's name: left or right of its marks, or between them."""
        xs = sorted(self.x(a) for a in series.amounts[self.column.title]) or [self.frame.x0]
        ends = [(xs[0] - MARK - 5, "end"), (xs[-1] + MARK + 5, "start")]
        gaps = sorted(itertools.pairwise(xs), key=lambda pair: pair[0] - pair[1])
        inside = [((left + right) / 2, "middle") for left, right in gaps[:1]]
        shifts = [sign * n * LINE for n in (1, 2, 3, 4) for sign in (-1, 1)]
        places = [(x, y, anchor) for x, anchor in ends]
        places += [(x, y - 13, anchor) for x, anchor in inside]
        return places + [(x, y + dy, a) for dy in shifts for x, a in (*ends, *inside)]

    def _texts(self, series: Series, colour: str, labels: Labels) -> Iterator[str]:
        style, y = f'class="h" style="fill:{colour}"', self.y(series)
        xs = [self.x(a) for a in series.amounts[self.column.title]]
        for x, text in _grouped(list(zip(xs, series.texts, strict=True))):
            half = _length(text) / 2
            x = min(max(x, self.frame.x0 + half + 2), self.frame.x1 - half - 2)
            shifts = [dy for n in range(5) for dy in (-9 - n * LINE, 20 + n * LINE)]
            yield labels.put(text, [(x, y + dy, "middle") for dy in shifts], style)


def text_box(text: str, x: float, y: float, anchor: str) -> Box:
    """What a text covers at most, with its base line at y."""
    length = _length(text)
    x -= {"start": 0.0, "middle": length / 2, "end": length}[anchor]
    return Box(x, y - FONT, x + length, y + 3)


def _length(text: str) -> float:
    return CHARACTER * len(text)


def _grouped(marks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Texts of marks (x, text), joined where even above and below the line they would overlap."""
    groups = [[index] for index in sorted(range(len(marks)), key=lambda i: marks[i][0])]

    def joined(group: list[int]) -> tuple[float, str]:
        xs = [marks[i][0] for i in group]
        return (min(xs) + max(xs)) / 2, ", ".join(marks[i][1] for i in sorted(group))

    at = 1
    while at < len(groups):
        (x0, first), (x1, second) = joined(groups[at - 1]), joined(groups[at])
        if x1 - x0 < (_length(first) + _length(second)) / 4 + 4:
            groups[at - 1] += groups.pop(at)
            at = max(1, at - 1)
        else:
            at += 1
    return [joined(group) for group in groups]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Ends of a scale with some room around its values."""
    room = max(0.5, 0.3 * (max(values) - min(values)))
    return min(values) - room, max(values) + room


def _ticks(low: float, high: float) -> list[float]:
    """Four to ten round numbers between two."""
    unit = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(unit * n for n in (5, 2, 1) if (high - low) / (unit * n) >= 4)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 6) for n in range(first, last + 1)]


def _legend(title: str, shapes: Mapping[str, str], y: float) -> Iterator[str]:
    yield _text(title, LEFT, 28, "start", 'class="b"')
    x = float(LEFT)
    for board, shape in shapes.items():
        yield _mark(x + MARK, y - 4, shape, "#222")
        yield _text(board, x + 3 * MARK, y, "start")
        x += 3 * MARK + _length(board) + 20
    yield _text("dashed: what a board has beside its shell", x, y, "start")


def _mark(x: float, y: float, shape: str, colour: str) -> str:
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{MARK}" class="m" fill="{colour}"/>\n'
    turned = f' transform="rotate(45 {x:.1f} {y:.1f})"' if shape == "diamond" else ""
    return (
        f'<rect x="{x - MARK:.1f}" y="{y - MARK:.1f}" width="{2 * MARK}" height="{2 * MARK}" '
        f'class="m" fill="{colour}"{turned}/>\n'
    )


def _text(text: str, x: float, y: float, anchor: str, style: str = "") -> str:
    style = f" {style}" if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>\n'
