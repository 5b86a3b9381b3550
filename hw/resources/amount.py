"""Amounts of a part's resources."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

NAMES = ("lut", "ff", "bram18", "uram", "dsp")
LABELS = {"lut": "LUT", "ff": "FF", "bram18": "BRAM18", "uram": "URAM", "dsp": "DSP"}


@dataclass(frozen=True)
class Resources:
    """An amount of each resource.

    Attributes:
        lut: LUT cells, those that serve as memory included.
        ff: flip-flops.
        bram18: halves of a block RAM; a RAMB36 counts two.
        uram, dsp: UltraRAM and DSP cells.
    """

    lut: int = 0
    ff: int = 0
    bram18: int = 0
    uram: int = 0
    dsp: int = 0

    def amounts(self) -> tuple[int, ...]:
        """In the order of NAMES; `dataclasses.astuple` takes ten times as long."""
        return self.lut, self.ff, self.bram18, self.uram, self.dsp

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(*(a + b for a, b in zip(self.amounts(), other.amounts(), strict=True)))

    def __sub__(self, other: "Resources") -> "Resources":
        return Resources(*(a - b for a, b in zip(self.amounts(), other.amounts(), strict=True)))

    def __mul__(self, count: int) -> "Resources":
        return Resources(*(count * a for a in self.amounts()))

    def fits(self, budget: "Resources") -> bool:
        """Whether no resource exceeds the budget."""
        return all(a <= b for a, b in zip(self.amounts(), budget.amounts(), strict=True))

    def excess(self, budget: "Resources") -> "Resources":
        """What is more than the budget, of each resource; 0 where nothing is."""
        return Resources(*(max(0, amount) for amount in (self - budget).amounts()))

    def shares(self, budget: "Resources") -> dict[str, float]:
        """Share of the budget by resource; infinite where there is none of it."""
        return {
            name: getattr(self, name) / most
            if most
            else float("inf")
            if getattr(self, name)
            else 0.0
            for name in NAMES
            for most in (getattr(budget, name),)
        }

    @classmethod
    def total(cls, amounts: Iterable["Resources"]) -> "Resources":
        """Their sum."""
        result = cls()
        for amount in amounts:
            result += amount
        return result

    def as_dict(self) -> dict[str, int]:
        """Amounts by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
