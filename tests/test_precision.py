"""Bfloat16 goes where it gains: full precision on a CPU, all but the integers on a GPU."""

import pytest
import torch

from edgebert.precision import autocast, uses_bf16
from tests.trained import FULL, ONE, TWO, random_batch, small_config, small_model

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("amx", [False, True])
@pytest.mark.parametrize("avx512", [False, True])
def test_on_the_cpu_only_full_precision_uses_it_and_by_itself_where_the_cpu_multiplies_it(
    amx: bool, avx512: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: avx512)
    full = small_model(small_config(), FULL)
    by_itself = amx or avx512
    assert [uses_bf16(p, CPU, full) for p in ("auto", "fp32", "bf16")] == [by_itself, False, True]
    for model in (small_model(small_config(), TWO), small_model(small_config(), ONE, True)):
        assert not any(uses_bf16(p, CPU, model) for p in ("auto", "fp32", "bf16"))


def test_on_a_gpu_all_but_the_deployed_integers_use_it() -> None:
    for model in (small_model(small_config(), bits) for bits in (FULL, TWO, ONE)):
        assert [uses_bf16(p, GPU, model) for p in ("auto", "fp32", "bf16")] == [True, False, True]
    assert not uses_bf16("bf16", GPU, small_model(small_config(), ONE, True))


def test_a_quantized_student_keeps_its_kernels_beside_a_teacher_in_bfloat16() -> None:
    config = small_config()
    batch = random_batch(0, config, [5, 3])
    for bits, expected in ((FULL, torch.bfloat16), (TWO, torch.float32)):
        model = small_model(config, bits)
        with torch.no_grad(), autocast("bf16", CPU, model):
            assert model(*batch).logits.dtype == expected
