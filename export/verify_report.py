"""What a verification found: a row per engine, as text and as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Difference:
    """The first integer that an engine has otherwise than the reference.

    `expected` and `got` are None where the engine has no such tensor or another shape.
    """

    tensor: str
    sentence: int
    index: tuple[int, ...]
    expected: int | None = None
    got: int | None = None

    def __str__(self) -> str:
        where = f"{self.tensor}, sentence {self.sentence}"
        if self.expected is None:
            return f"{where}: missing, or of another shape"
        index = ", ".join(str(i) for i in self.index)
        return f"{where}, index ({index}): expected {self.expected}, got {self.got}"


@dataclass(frozen=True)
class Row:
    """One engine: how many integers were compared, how many differ."""

    engine: str
    sentences: int = 0
    integers: int = 0
    mismatches: int = 0
    score: float | None = None  # the task's metric, where there are labels
    seconds: float = 0.0
    first: Difference | None = None
    not_run: str | None = None  # the reason
    figures: Mapping[str, Any] = field(default_factory=dict)  # throughput, latency of accelerators

    @property
    def status(self) -> str:
        if self.not_run is not None:
            return f"not run: {self.not_run}"
        return "equal" if self.mismatches == 0 else "DIFFERS"


@dataclass(frozen=True)
class Report:
    """All rows of a verification of one export."""

    digest: str  # Export.digest: the hash of the manifest
    metric: str
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether no engine that ran had a mismatch."""
        return all(row.mismatches == 0 for row in self.rows)

    def text(self) -> str:
        """A table, followed by the first difference of each engine that has one."""
        head = ("engine", "sentences", "integers", "mismatches", self.metric, "seconds", "status")
        lines = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        table = []
        for line in lines:
            cells = [line[0].ljust(widths[0])]
            cells += [
                cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)
            ]
            table.append("  ".join([*cells, line[-1]]))
        differences = [f"{row.engine}: first at {row.first}" for row in self.rows if row.first]
        timed = [row for row in self.rows if "latency" in row.figures]
        speeds = [f"{row.engine}: {_speed(row.figures)}" for row in timed]
        return "\n".join(table + speeds + differences)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {
            "manifest_sha256": self.digest,
            "equal": self.ok,
            "metric": self.metric,
            "engines": [_plain(row) for row in self.rows],
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    if row.not_run is not None:
        return (row.engine, "", "", "", "", "", row.status)
    score = "" if row.score is None else f"{row.score:.4f}"
    counts = (str(row.sentences), str(row.integers), str(row.mismatches))
    return (row.engine, *counts, score, f"{row.seconds:.1f}", row.status)


def _speed(figures: Mapping[str, Any]) -> str:
    rate, single = figures["throughput"], figures["latency"]["hardware_ms"]
    return (
        f"{rate['tokens_per_second']:,.0f} tokens/s, {rate['cycles_per_token']:.2f} cycles a token "
        f"at {rate['clock_hz'] / 1e6:g} MHz, {single['median']:.3f} ms a sentence (simulated)"
    )


def _plain(row: Row) -> dict[str, Any]:
    data: dict[str, Any] = {"engine": row.engine, "status": row.status}
    if row.not_run is None:
        data |= {
            "sentences": row.sentences,
            "integers": row.integers,
            "mismatches": row.mismatches,
            "score": row.score,
            "seconds": round(row.seconds, 3),
        }
    data |= row.figures
    if row.first:
        data["first_difference"] = {**vars(row.first), "index": list(row.first.index)}
    return data
