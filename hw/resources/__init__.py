"""What a kernel takes of a part, without synthesis: within 15 % of it (benchmarks/resources.md)."""

from hw.resources.amount import Resources as Resources
from hw.resources.kernels import FAMILIES as FAMILIES
from hw.resources.kernels import resources_of as resources_of
