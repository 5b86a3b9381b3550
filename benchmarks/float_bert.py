"""A plain float32 BERT classifier as ONNX, of the architecture of an integer model.

Built with the ONNX helpers, node for node like an export of transformers' BertModel, but with
single LayerNormalization nodes, which favours it. Its weights are random: they don't change
its speed.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hw.layout import Dimensions


class _Builder:
    def __init__(self, d: Dimensions) -> None:
        self.d = d
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, op_type: str, inputs: list[str], **attributes: Any) -> str:
        output = f"{op_type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [output], **attributes))
        return output

    def constant(self, value: object, dtype: str = "float32") -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def random(self, *shape: int) -> str:
        return self.constant(self.rng.normal(0, 0.04, shape))

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        product = self.op("MatMul", [x, self.random(inputs, outputs)])
        return self.op("Add", [product, self.random(outputs)])

    def norm(self, x: str) -> str:
        h = self.d.hidden
        scale = self.constant(np.ones(h))
        return self.op("LayerNormalization", [x, scale, self.random(h)], axis=-1, epsilon=1e-12)

    def gelu(self, x: str) -> str:
        root = self.op("Div", [x, self.constant(np.sqrt(2.0))])
        error = self.op("Add", [self.op("Erf", [root]), self.constant(1.0)])
        return self.op("Mul", [self.op("Mul", [x, error]), self.constant(0.5)])

    def attention(self, x: str, mask: str) -> str:
        d = self.d
        split = self.constant([0, 0, d.heads, d.head_width], "int64")
        heads = []
        for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
            projected = self.op("Reshape", [self.linear(x, d.hidden, d.hidden), split])
            heads.append(self.op("Transpose", [projected], perm=order))
        scores = self.op("MatMul", heads[:2])
        scores = self.op("Div", [scores, self.constant(np.sqrt(d.head_width))])
        weights = self.op("Softmax", [self.op("Add", [scores, mask])], axis=-1)
        context = self.op("Transpose", [self.op("MatMul", [weights, heads[2]])], perm=[0, 2, 1, 3])
        context = self.op("Reshape", [context, self.constant([0, 0, d.hidden], "int64")])
        return self.linear(context, d.hidden, d.hidden)

    def layer(self, x: str, mask: str) -> str:
        d = self.d
        x = self.norm(self.op("Add", [self.attention(x, mask), x]))
        inner = self.gelu(self.linear(x, d.hidden, d.ffn))
        return self.norm(self.op("Add", [self.linear(inner, d.ffn, d.hidden), x]))

    def embedding(self) -> str:
        d = self.d
        rows = self.op("Gather", [self.random(d.vocab, d.hidden), "input_ids"])
        types = self.op("Gather", [self.random(d.token_types, d.hidden), "token_type_ids"])
        length = self.op("Shape", ["input_ids"], start=1, end=2)
        start, axis = self.constant([0], "int64"), self.constant([0], "int64")
        table = self.random(d.max_tokens, d.hidden)
        position = self.op("Slice", [table, start, length, axis])
        return self.norm(self.op("Add", [self.op("Add", [rows, types]), position]))


def build_float_bert(d: Dimensions, labels: int = 2) -> onnx.ModelProto:
    """Inputs like the integer model's; output `logits`, float32 (batch, labels)."""
    b = _Builder(d)
    mask = b.op("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    mask = b.op("Unsqueeze", [mask, b.constant([1, 2], "int64")])
    mask = b.op("Mul", [b.op("Sub", [mask, b.constant(1.0)]), b.constant(1e9)])
    x = b.embedding()
    for _ in range(d.layers):
        x = b.layer(x, mask)
    first = b.op("Gather", [x, b.constant(0, "int64")], axis=1)
    pooled = b.op("Tanh", [b.linear(first, d.hidden, d.hidden)])
    logits = b.linear(pooled, d.hidden, labels)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "token_type_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["batch", labels])
    graph = helper.make_graph(b.nodes, "bert", inputs, [output], initializer=b.constants)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)
