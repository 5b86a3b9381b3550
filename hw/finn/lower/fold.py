"""Folding: parallelism and memories of the kernels, by instance name."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from hw.errors import ParameterError
from hw.finn.lower.load import LOAD_BITS, insert_load_chain
from hw.finn.ops.base import KernelOp

Folding = Mapping[str, Mapping[str, Any]]  # fields of the kernel's dataclass, by instance


def kernel_ops(model: ModelWrapper) -> dict[str, KernelOp]:
    """The nodes of our kernels by instance name, in the graph's order."""
    ops = (getCustomOp(node) for node in model.graph.node)
    return {op.get_nodeattr("instance"): op for op in ops if isinstance(op, KernelOp)}


def folding_of(model: ModelWrapper) -> dict[str, dict[str, Any]]:
    """The folding that a graph has."""
    found = {}
    for name, op in kernel_ops(model).items():
        kernel = op.kernel()
        if op.folding:
            found[name] = {field: getattr(kernel, field) for field in op.folding}
    return found


def fold(model: ModelWrapper, folding: Folding) -> ModelWrapper:
    """Set the folding of a lowered graph; loadable weights get their chain of streams.

    Args:
        model: from `lower`; changed in place, entirely or not at all.
        folding: of every kernel that can be folded. Fields that the model decides may be named
            with the values that they have.

    Raises:
        ParameterError: a folding for another model, an unknown field, or a value that the kernel
            can't have.
    """
    ops = {name: op for name, op in kernel_ops(model).items() if op.folding}
    for names, what in ((set(folding) - set(ops), "unknown"), (set(ops) - set(folding), "missing")):
        if names:
            raise ParameterError(
                f"folding: expected the {len(ops)} kernels of this model, got {len(folding)}; "
                f"{what}: {', '.join(sorted(names)[:3])}"
            )
    kernels = {name: _folded(name, ops[name], entry) for name, entry in folding.items()}
    for name, kernel in kernels.items():
        ops[name].set_kernel(kernel)
    insert_load_chain(model)
    return model


def _folded(name: str, op: KernelOp, entry: Mapping[str, Any]) -> Any:
    if not isinstance(entry, Mapping):
        raise ParameterError(f"{name}: expected fields and their values, got {entry!r}")
    kernel: Any = op.kernel()
    types: dict[str, Any] = {field.name: field.type for field in fields(kernel)}
    for field, value in entry.items():
        if field not in types:
            raise ParameterError(f"{name}: expected fields of {op.folding}, got {field!r}")
        if type(value) is not types[field]:
            raise ParameterError(
                f"{name}: {field}: expected {types[field].__name__}, got {value!r}"
            )
        if field not in op.folding and value != getattr(kernel, field):
            raise ParameterError(
                f"{name}: {field}: expected {getattr(kernel, field)!r}, which the model decides, "
                f"got {value!r}; the folding is for another model"
            )
    try:
        folded = replace(kernel, **entry)
    except ParameterError as error:
        raise ParameterError(f"{name}: {error}") from None
    if getattr(folded, "loadable", False) and folded.load_bits != LOAD_BITS:
        raise ParameterError(f"{name}: load_bits: expected {LOAD_BITS}, got {folded.load_bits}")
    return folded
