"""Counting integers that differ."""

import numpy as np

from export.sessions import Integers
from export.verify_report import Difference, Row


class Tally:
    """Counts integers and mismatches, and keeps the first one in the order of execution."""

    def __init__(self) -> None:
        self.integers = 0
        self.mismatches = 0
        self.first: Difference | None = None
        self._place = 1 << 30  # of the first difference's tensor in the order of execution

    def compare_all(
        self, sentence: int, expected: dict[str, Integers], got: dict[str, Integers]
    ) -> None:
        """Compare the tensors of one sentence, given in the order of execution."""
        for place, (name, value) in enumerate(expected.items()):
            self._compare(place, name, sentence, value, got.get(name))

    def compare_logits(self, expected: Integers, got: Integers) -> int | None:
        """Compare (sentences, labels); the first sentence that differs."""
        before, wrong = self.mismatches, None
        for sentence, value in enumerate(expected):
            row = got[sentence] if sentence < len(got) else None
            self._compare(1 << 20, "logits", sentence, value, row)
            if wrong is None and self.mismatches > before:
                wrong = sentence
        return wrong

    def row(
        self,
        engine: str,
        sentences: int,
        seconds: float,
        score: float | None = None,
        more: int = 0,
    ) -> Row:
        """The row of the report; `more` integers define what others are compared with."""
        integers = self.integers + more
        return Row(engine, sentences, integers, self.mismatches, score, seconds, self.first)

    def _compare(
        self, place: int, name: str, sentence: int, expected: Integers, got: Integers | None
    ) -> None:
        self.integers += expected.size
        if got is None or got.shape != expected.shape:
            self.mismatches += max(expected.size, 1)
            difference = Difference(name, sentence, ())
        else:
            wrong = np.argwhere(got != expected)
            if not len(wrong):
                return
            self.mismatches += len(wrong)
            index = tuple(int(i) for i in wrong[0])
            difference = Difference(name, sentence, index, int(expected[index]), int(got[index]))
        if place < self._place:
            self._place, self.first = place, difference
