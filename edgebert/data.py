"""What a task consists of: examples, their labels and the metric."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Example:
    """One sentence, or a pair, with its label.

    label: a class index (int), a number (float, regression), or None (unlabelled).
    """

    text: str
    text_b: str | None = None
    label: int | float | None = None

    @property
    def parts(self) -> list[str]:
        """The sentence, or both of the pair."""
        return [self.text] if self.text_b is None else [self.text, self.text_b]


@dataclass(frozen=True)
class TaskData:
    """A task's examples.

    labels: the names of the classes in the order of their indices; empty for regression.
    metric: name of the main metric (edgebert.metrics).
    dev_mm: MNLI's second dev set (mismatched genres); empty for every other task.
    """

    name: str
    labels: tuple[str, ...]
    regression: bool
    train: list[Example]
    dev: list[Example]
    metric: str
    dev_mm: list[Example] = field(default_factory=list)

    @property
    def outputs(self) -> int:
        """Outputs of the classifier: one per class, or one number."""
        return 1 if self.regression else len(self.labels)

    @property
    def pairs(self) -> bool:
        """Whether an example is a pair of sentences."""
        return any(example.text_b is not None for example in self.train)
