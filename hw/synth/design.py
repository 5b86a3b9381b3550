"""What a whole design takes of a part: every distinct kernel of it, synthesized by itself.

Kernels that differ in nothing but the names and the contents of their memory files are synthesized
once. So the sum leaves out what synthesis could share between kernels, and counts the clocks and
resets of each.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from os import sched_getaffinity

from hw.design import Design
from hw.kernels.kernel import Kernel
from hw.resources import Resources
from hw.synth.cache import cached_synthesis

Progress = Callable[[str], None]


def synthesize_design(design: Design, family: str, progress: Progress) -> dict[str, Resources]:
    """Resources of every instance, by name.

    Args:
        family: `xc7` or `xcup`.
        progress: is told of each kernel that is done.

    Raises:
        ToolError: Yosys is missing or refuses a kernel.
    """
    groups: dict[str, list[str]] = {}
    for name, kernel in design.instances.items():
        groups.setdefault(_shape(kernel), []).append(name)
    workers = len(sched_getaffinity(0))
    with ThreadPoolExecutor(workers) as pool:
        jobs = {
            names[0]: pool.submit(_synthesize, design, names[0], family)
            for names in groups.values()
        }
        try:
            found: dict[str, Resources] = {}
            for number, names in enumerate(groups.values(), start=1):
                found |= dict.fromkeys(names, jobs[names[0]].result())
                progress(f"{number} of {len(groups)} kernels: {names[0]}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {name: found[name] for name in design.instances}


def _synthesize(design: Design, name: str, family: str) -> Resources:
    kernel = design.instances[name]
    memories: Mapping[str, str] = {
        file: design.memories[file] for file in sorted(kernel.memory_shapes())
    }
    used, _ = cached_synthesis(kernel.module, kernel.parameters(), family, memories)
    return Resources(used.lut, used.ff, used.bram18, used.uram, used.dsp)


def _shape(kernel: Kernel) -> str:
    """What two kernels share that take the same: all parameters but names of memory files."""
    files = set(kernel.memory_shapes())
    parameters = {n: v for n, v in kernel.parameters().items() if v not in files}
    return repr(
        (kernel.module, sorted(parameters.items()), sorted(kernel.memory_shapes().values()))
    )
