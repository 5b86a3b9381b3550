"""A small design that stands for a large one where timing is looked for, not results.

FIFOs of equal place in all layers have one depth, and timing doesn't depend on data. So two layers,
with weights of zeros in ROMs, show it at a fraction of the time that all layers take.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from hw.design import TOP, Connection, Design
from hw.kernels.kernel import Kernel
from hw.kernels.load_chain import LoadChain
from hw.kernels.mvu import BinaryMvu
from hw.kernels.stream import StreamFork
from hw.sim.usage import WEIGHTS

LAYER = re.compile(r"layer(\d+)_")


def layers(design: Design) -> int:
    """How many layers an encoder has."""
    return 1 + max((_layer(name) for name in design.instances), default=-1)


def _layer(name: str) -> int:
    """The layer that an instance belongs to, -1: none."""
    found = LAYER.match(name)
    return int(found[1]) if found else -1


def two_layers(design: Design) -> Design:
    """The first and the last layer of an encoder; all of it if it has no more than two.

    Matrices that are loaded become ROMs, without the chain that loads them. All weights are 0.

    Args:
        design: an encoder, whose layers are linked by streams from one to the next.

    Raises:
        ParameterError: a stream between two layers is not as wide as one between two others.
    """
    last = layers(design) - 1
    kernels = {
        name: _with_rom(kernel)
        for name, kernel in design.instances.items()
        if not isinstance(kernel, LoadChain) and _layer(name) in (-1, 0, last)
    }
    connections = _connections(design, kernels, last)
    copies: dict[str, int] = {}
    for i, connection in enumerate(connections):  # of forks, those left over count from 0
        source = connection.source
        if isinstance(kernels.get(source.instance), StreamFork):
            copy = copies.setdefault(source.instance, 0)
            copies[source.instance] += 1
            connections[i] = replace(connection, source=replace(source, copy=copy))
    for name, number in copies.items():
        kernels[name] = replace(kernels[name], copies=number)  # type: ignore[type-var]
    return Design(
        design.name,
        tuple(port for port in design.ports if port.name != WEIGHTS),
        kernels,
        tuple(connections),
        _memories(design, kernels),
        design.properties,
    )


def _with_rom(kernel: Kernel) -> Kernel:
    if isinstance(kernel, BinaryMvu) and kernel.loadable:
        return replace(kernel, loadable=False, weight_memory="block")
    return kernel


def _connections(design: Design, kernels: Mapping[str, Kernel], last: int) -> list[Connection]:
    """Those between kernels that stay, and those from the first layer to the last."""
    follow = {connection.source: connection.target for connection in design.connections}
    stay = kernels.keys() | {TOP}
    found = []
    for source, target in follow.items():
        if source.instance not in stay or WEIGHTS in (source.port, target.port):
            continue
        if _layer(source.instance) == 0 and _layer(target.instance) == 1:
            before = source.instance.replace("layer0_", f"layer{last - 1}_", 1)
            target = follow[replace(source, instance=before)]
        if target.instance in stay:
            found.append(Connection(source, target))
    return found


def _memories(design: Design, kernels: Mapping[str, Kernel]) -> dict[str, str]:
    memories = {}
    for kernel in kernels.values():
        for file, (words, _) in kernel.memory_shapes().items():
            zeros = isinstance(kernel, BinaryMvu) and file == kernel.weight_file
            memories[file] = "0\n" * words if zeros else design.memories[file]
    return memories
