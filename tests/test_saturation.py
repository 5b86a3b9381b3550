"""Sums at the end of their word are counted, and said where they are many."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgebert.deploy import trace_forward
from edgebert.model import BinaryBert
from edgebert.saturation import advice, saturation, shrink_sums
from edgebert.train import train
from tests.micro import micro_config, write_reviews
from tests.trained import ONE, random_batch, small_config, trained_model


def model(factor: float) -> BinaryBert:
    """A model whose second layer adds `factor` times as much to the residual."""
    found = trained_model(small_config(), ONE, True)
    with torch.no_grad():
        for parameter in found.layers[1].down.parameters(recurse=False):  # type: ignore[union-attr]
            parameter.mul_(factor)
    return found


def test_a_sum_that_fits_is_left_out() -> None:
    batch = random_batch(0, small_config(), [12, 5, 9])
    assert saturation(model(1), batch) == {} and advice({}) is None


def test_the_fraction_is_of_real_elements_only() -> None:
    wide, batch = model(200), random_batch(0, small_config(), [9, 5, 7], pad=3)
    found = saturation(wide, batch)
    assert set(found) == {"layer.1.ffn_norm.sum"}
    count = total = 0
    for row, length in enumerate([9, 5, 7]):
        sums = trace_forward(wide, *(x[row : row + 1, :length] for x in batch))
        values = sums["layer.1.ffn_norm.sum"]
        count += int((values == 2**17 - 1).sum() + (values == -(2**17)).sum())
        total += values.numel()
    assert 0 < found["layer.1.ffn_norm.sum"] == pytest.approx(count / total)


def test_only_much_is_said_in_one_line() -> None:
    assert advice({"layer.0.ffn_norm.sum": 0.005}) is None
    found = advice({"layer.0.ffn_norm.sum": 0.02, "layer.1.attention_norm.sum": 0.25})
    assert found is not None and "\n" not in found
    assert found.startswith("note: 25.0% of layer.1.attention_norm.sum saturate")


def test_what_saturates_is_made_as_large_as_the_residual() -> None:
    wide, batch = model(200), random_batch(0, small_config(), [9, 5, 7], pad=3)
    before = trace_forward(wide, *batch)
    factors = shrink_sums(wide, batch)
    assert set(factors) == {"layer.1.down"} and 0 < factors["layer.1.down"] < 0.1
    after = trace_forward(wide, *batch)
    assert saturation(wide, batch) == {}
    real = batch[2].bool()
    for name, values in before.items():  # what comes before, and every accumulator, is as it was
        if not name.startswith(("layer.1.ffn_norm", "pooler", "logits")):
            of_heads = name.endswith((".scores", ".probabilities"))
            assert of_heads or torch.equal(after[name][real], values[real]), name
    residual = after["layer.1.attention_norm.residual"][real].double()
    added = after["layer.1.ffn_norm.sum"][real].double() - residual
    assert float(added.std()) == pytest.approx(float(residual.std()), rel=0.01)
    assert shrink_sums(wide, batch) == {}


def test_a_training_shrinks_what_its_start_saturates(tmp_path: Path) -> None:
    data = write_reviews(tmp_path / "data")
    config = micro_config(schedule="w1a1", epochs=1, lr=1.0)
    config = replace(config, arithmetic=replace(config.arithmetic, word_bits=12, fraction_bits=8))
    train(config, "csv", data, tmp_path / "first", device="cpu", progress=False)
    fractions = []
    for shrink in (False, True):
        said: list[str] = []
        rates, start = {"default": 1e-9}, str(tmp_path / "first")
        again = replace(config.train, shrink_sums=shrink, quantized_init=start, lr=rates)
        out = tmp_path / f"shrink {shrink}"
        changed = replace(config, train=again)
        train(changed, "csv", data, out, device="cpu", progress=False, say=said.append)
        assert any("layer.0.down made" in line for line in said) == shrink
        lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        fractions += [line["saturated"] for line in map(json.loads, lines) if "saturated" in line]
    kept, shrunk = (found["layer.0.ffn_norm.sum"] for found in fractions)
    assert shrunk < kept / 2  # not 0, as here LayerNorm gives the ends of the word, too


@pytest.mark.parametrize(("fraction_bits", "saturates"), [(11, True), (5, False)])
def test_a_training_logs_what_saturates_and_says_so(
    tmp_path: Path, fraction_bits: int, saturates: bool
) -> None:
    said: list[str] = []
    config = micro_config(schedule="w1a1", epochs=1, lr=1.0)  # which makes everything large
    narrow = replace(config.arithmetic, word_bits=12, fraction_bits=fraction_bits)
    config = replace(config, arithmetic=narrow)
    data = write_reviews(tmp_path / "data")
    train(config, "csv", data, tmp_path / "run", device="cpu", progress=False, say=said.append)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    logged = [entry["saturated"] for entry in map(json.loads, lines) if "saturated" in entry]
    assert any("saturate; if that grows" in line for line in said) == saturates
    assert any(max(found.values()) >= 0.01 for found in logged) == saturates
    assert all(0 < x <= 1 for found in logged for x in found.values())
