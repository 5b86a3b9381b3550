"""The drawing of a design: valid XML with every kernel, stream and FIFO depth, without overlaps."""

import itertools
from xml.etree import ElementTree

import pytest

from hw.design import Design
from hw.draw import draw
from hw.kernels.stream import StreamFifo, WidthConverter
from tests.designs import encoder_design, even_folding
from tests.models import random_integer_model

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def design() -> Design:
    model = random_integer_model(layers=3, heads=4)
    depths = {"layer2_attention_norm_residual_fifo": {"depth": 12345}}
    return encoder_design(model, even_folding(model, 8, 64), 8, depths)


def boxes(root: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    found = [shape for shape in root.iter(f"{SVG}rect") if shape.get("rx")]
    names = ("x", "y", "width", "height")
    return [tuple(float(shape.get(name, "0")) for name in names) for shape in found]  # type: ignore[misc]


def test_every_kernel_and_port_is_a_box_and_every_fifo_a_mark(design: Design) -> None:
    root = ElementTree.fromstring(draw(design))
    texts = {text.text for text in root.iter(f"{SVG}text")}
    kernels = [
        name
        for name, kernel in design.instances.items()
        if not isinstance(kernel, StreamFifo | WidthConverter)
    ]
    assert set(kernels) <= texts
    assert {port.name for port in design.ports} <= texts
    assert len(boxes(root)) == len(kernels) + len(design.ports)
    assert "12345" in texts
    marks = [shape for shape in root.iter(f"{SVG}rect") if shape.get("height") == "13"]
    assert len(marks) == len(design.fifos())


def test_every_stream_between_kernels_is_a_line(design: Design) -> None:
    root = ElementTree.fromstring(draw(design))
    lines = [path for path in root.iter(f"{SVG}path") if path.get("marker-end")]
    parts = [k for k in design.instances.values() if isinstance(k, StreamFifo | WidthConverter)]
    assert len(lines) == len(design.connections) - len(parts)


def test_boxes_lie_apart_and_inside_the_page(design: Design) -> None:
    root = ElementTree.fromstring(draw(design))
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    for x, y, w, h in boxes(root):
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
    for (x, y, w, h), (u, v, p, q) in itertools.combinations(boxes(root), 2):
        assert x + w <= u or u + p <= x or y + h <= v or v + q <= y
    rows = {y for _, y, _, _ in boxes(root)}
    assert len(rows) >= 4


def test_the_same_design_gives_the_same_drawing(design: Design) -> None:
    assert draw(design) == draw(design)
