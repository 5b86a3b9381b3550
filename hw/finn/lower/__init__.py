"""From the exported encoder to FINN's hardware graph, pass by pass (docs/lowering.md).

Import it in a `finn_session` only.
"""

from collections.abc import Callable
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation
from qonnx.transformation.general import RemoveUnusedTensors

from hw.errors import HardwareFileError, ParameterError
from hw.finn.lower.attention import InferBinaryAttention
from hw.finn.lower.lengths import InferLengths
from hw.finn.lower.mvu import InferBinaryMvu
from hw.finn.lower.names import NameInstances
from hw.finn.lower.norm import InferAddNorm, InferInputThreshold
from hw.finn.lower.tokens import AnnotateTypes, FixTokens
from hw.finn.ops import register_ops
from hw.kernels.checks import in_range

Check = Callable[[str, ModelWrapper], None]
MAX_TOKENS = 1024


def passes(max_tokens: int) -> list[Transformation]:
    """The passes in their order."""
    return [
        FixTokens(max_tokens),
        AnnotateTypes(),
        InferBinaryMvu(),
        InferBinaryAttention(),
        InferAddNorm(),
        InferInputThreshold(),
        InferLengths(),
        NameInstances(),
    ]


def lower(encoder: Path, max_tokens: int, check: Check | None = None) -> ModelWrapper:
    """The hardware graph of an exported encoder: one node a kernel, all unfolded.

    Inputs `embedding.residual` (1, max_tokens, H) and `length` (1, 1), output the last residual.
    Rows behind the sentence have no meaning.

    Args:
        encoder: encoder.onnx.
        max_tokens: longest sentence of the hardware.
        check: called after every pass with its name and the graph, such as a `Checker`.

    Raises:
        HardwareFileError: the file is missing, damaged, or no encoder.
        ParameterError: max_tokens that no hardware has.
    """
    in_range("max_tokens", max_tokens, 1, MAX_TOKENS)
    register_ops()
    model = _load(encoder)
    for step in passes(max_tokens):
        try:
            model = _transform(model, step)
            model = _transform(model, RemoveUnusedTensors())
        except (HardwareFileError, ParameterError) as error:
            raise _foreign(encoder, error) from None
        if check is not None:
            check(type(step).__name__, model)
    del model.model.functions[:]
    try:
        for node in model.graph.node:
            getCustomOp(node).constants(model)
    except (HardwareFileError, ParameterError) as error:
        raise _foreign(encoder, error) from None
    return model


def _transform(model: ModelWrapper, step: Transformation) -> ModelWrapper:
    # not qonnx's own cleanup after every pass: it names shared constants by chance
    return model.transform(step, make_deepcopy=False, cleanup=False)


def _load(path: Path) -> ModelWrapper:
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except FileNotFoundError:
        raise HardwareFileError(f"{path}: expected an encoder, got no such file") from None
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        line = " ".join(str(error).split())
        raise HardwareFileError(
            f"{path}: expected an encoder, got a damaged file ({line}); export it again"
        ) from None
    kinds = [value.type.tensor_type.elem_type for value in model.graph.input]
    if kinds != [onnx.TensorProto.FLOAT, onnx.TensorProto.INT64] or len(model.graph.output) != 1:
        raise HardwareFileError(
            f"{path}: expected an encoder of a residual and an attention mask, got "
            f"{[value.name for value in model.graph.input]}; export it again"
        )
    return ModelWrapper(model)


def _foreign(path: Path, error: Exception) -> HardwareFileError:
    return HardwareFileError(f"{path}: {error}; export it again")
