"""Sentences to logits: tokenizer and host around the accelerator."""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .driver import Accelerator, Batch, Device
from .errors import BoardError
from .integer_host import Integers
from .package import WEIGHTS, Package
from .tokenizer import Encoding

Array = NDArray[Any]
Text = tuple[str, str | None]  # a sentence, or a pair

BATCH_TOKENS = 2048  # the host prepares as many while the accelerator computes the last ones


class Classifier:
    """A package's model on a device. A context manager."""

    def __init__(self, package: Package, device: Device, **settings: Any) -> None:
        """device: closed by `close`, and if this fails. settings: of `Accelerator`.

        Raises:
            BoardError: the package is damaged, or its model isn't the one on the device.
        """
        self.package = package
        try:
            self.host, self.tokenizer = package.host, package.tokenizer
            weights = package.content(WEIGHTS) if package.board.load_beats else b""
        except BaseException:
            device.close()
            raise
        self.accelerator = Accelerator(device, package.sizes, package.board, weights, **settings)

    def __enter__(self) -> "Classifier":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the accelerator and the device."""
        self.accelerator.close()

    def encode(self, texts: Sequence[Text]) -> list[Encoding]:
        """The tokens of sentences or pairs."""
        pairs = any(text_b is not None for _, text_b in texts)
        if pairs and self.package.sizes.token_types < 2:
            raise BoardError("text: expected one sentence, since the model knows no pairs, got two")
        return [self.tokenizer.encode(text, text_b) for text, text_b in texts]

    def logits(
        self, sentences: Sequence[Encoding], progress: Callable[[int], None] | None = None
    ) -> Integers:
        """Logits (sentences, outputs), integers of `package.sizes.logit_scale` each.

        progress: gets the number of sentences done, now and then.
        """
        rows = [np.zeros((0, self.package.sizes.outputs), np.int64)]
        done = 0
        for first_tokens in self.accelerator.stream(self._batches(sentences), first_tokens=True):
            rows.append(self.host.head(first_tokens)["logits"])
            done += len(first_tokens)
            if progress is not None:
                progress(done)
        return np.concatenate(rows)

    def tensors(self, sentences: Sequence[Encoding], last: str) -> list[dict[str, Integers]]:
        """The named tensors of each sentence that are seen outside the accelerator.

        last: name of the residual that comes out of it.
        """
        embedded, results = [], []
        for sentence in sentences:
            ids, types = self._checked([sentence])
            places = np.arange(len(ids), dtype=np.int64)
            total = self.host.embedding_sum(ids, types, places)
            embedded.append({"embedding.sum": total, "embedding.residual": self.host.norm(total)})
        if not embedded:
            return []
        lengths = np.array([len(sentence.input_ids) for sentence in sentences], np.int64)
        residual = np.concatenate([values["embedding.residual"] for values in embedded])
        out = self.accelerator.run(residual, lengths).astype(np.int64)
        ends = np.cumsum(lengths, dtype=np.int64)
        heads = self.host.head(out[ends - lengths])
        for number, values in enumerate(embedded):
            rows = out[ends[number] - lengths[number] : ends[number]]
            head = {name: value[number] for name, value in heads.items()}
            results.append({**values, last: rows, **head})
        return results

    def _batches(self, sentences: Sequence[Encoding]) -> Iterator[Batch]:
        group: list[Encoding] = []
        tokens = 0
        for sentence in sentences:
            group.append(sentence)
            tokens += len(sentence.input_ids)
            if tokens >= BATCH_TOKENS:
                yield self._batch(group)
                group, tokens = [], 0
        if group:
            yield self._batch(group)

    def _batch(self, group: Sequence[Encoding]) -> Batch:
        ids, types = self._checked(group)
        lengths = np.array([len(sentence.input_ids) for sentence in group], np.int64)
        return Batch(self.host.embed(ids, types, lengths), lengths)

    def _checked(self, group: Sequence[Encoding]) -> tuple[Array, Array]:
        sizes = self.package.sizes
        for sentence in group:
            if not 1 <= len(sentence.input_ids) == len(sentence.token_type_ids) <= sizes.max_tokens:
                raise BoardError(
                    f"sentence: expected 1 to {sizes.max_tokens} tokens and as many types, "
                    f"got {len(sentence.input_ids)} and {len(sentence.token_type_ids)}"
                )
        ids = np.concatenate([np.asarray(s.input_ids, np.int64) for s in group])
        types = np.concatenate([np.asarray(s.token_type_ids, np.int64) for s in group])
        for what, values, rows in (
            ("token ids", ids, sizes.vocab),
            ("token types", types, sizes.token_types),
        ):
            if values.min() < 0 or values.max() >= rows:
                raise BoardError(
                    f"{what}: expected 0 to {rows - 1}, got {values.min()} to {values.max()}"
                )
        return ids, types
