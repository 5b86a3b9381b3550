"""Which models compute their float products in bfloat16.

On a GPU all do but those of the deployed integers. On the CPU only full-precision ones do, whether
they learn or teach: quantized ones run on fused kernels (edgebert.elastic_ops), which take float32
and are faster than any product of bfloat16.
"""

import torch

from edgebert.model import BinaryBert


def uses_bf16(precision: str, device: torch.device, model: BinaryBert) -> bool:
    """Whether a model runs under `autocast` at `train.precision`.

    auto: on GPUs, and on CPUs that multiply bfloat16, by AMX or by AVX-512.
    """
    if device.type != "cpu":
        return precision != "fp32" and not model.deploy
    gains = precision == "bf16" or (precision == "auto" and _multiplies_bf16())
    return gains and model.bits.activation == 32


def _multiplies_bf16() -> bool:
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def autocast(precision: str, device: torch.device, model: BinaryBert) -> torch.autocast:
    """The context of a model's forward pass."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(precision, device, model))
