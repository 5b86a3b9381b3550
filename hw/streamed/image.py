"""Images of layers: the beats of the load bus that bring all constants of a layer."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hw.integer_model import IntegerModel
from hw.kernels.add_norm import NORMS, AddNorm, NormTensors
from hw.kernels.attention import BinaryAttention
from hw.kernels.channel_threshold import ChannelThreshold
from hw.kernels.mvu import BinaryMvu
from hw.sim.beats import Beats
from hw.streamed.encoder import (
    BankedKernel,
    StreamedEncoder,
    banked_files,
    banked_shapes,
    factor_bits,
    input_thresholds,
    norm_tensors,
)

Planes = NDArray[np.uint8]  # (words, bits), lowest bit first


def layer_images(encoder: StreamedEncoder, model: IntegerModel) -> list[Beats]:
    """The image of every layer of a model.

    Returns:
        for each layer (image_beats, bytes of a beat) uint8, lowest byte first.

    Raises:
        ParameterError: tensors that the kernels of the encoder can't hold.
    """
    norms = {norm: norm_tensors(model, norm) for norm in NORMS}
    return [
        _image(encoder, model, layer, {norm: tensors[layer] for norm, tensors in norms.items()})
        for layer in range(model.dimensions.layers)
    ]


def layer_image(encoder: StreamedEncoder, model: IntegerModel, layer: int) -> Beats:
    """The image of one layer; see `layer_images`."""
    return layer_images(encoder, model)[layer]


def rom_files(encoder: StreamedEncoder, model: IntegerModel) -> dict[str, str]:
    """Memory files of what is the same in every layer: the norms' table."""
    files: dict[str, str] = {}
    for norm in NORMS:
        kernel = encoder.norm(norm)
        tensors = norm_tensors(model, norm)[0]
        name = f"{kernel.prefix}rsqrt.hex"
        files[name] = replace(kernel, multiplier=tensors.multiplier).memories(tensors)[name]
    return files


def _image(
    encoder: StreamedEncoder, model: IntegerModel, layer: int, norms: dict[str, NormTensors]
) -> Beats:
    parts = []
    for name in encoder.load_order():
        kernel = encoder.kernels[name]
        planes = _planes(name, kernel, model, layer, norms)
        shapes = banked_shapes(kernel)
        assert [p.shape for p in planes] == shapes, (name, shapes)
        parts += [as_beats(p, encoder.load_bits) for p in planes]
    return np.concatenate(parts)


def as_beats(planes: Planes, load_bits: int) -> Beats:
    """Words of a memory as beats: each word fills whole beats, lowest bits first."""
    words, bits = planes.shape
    padded = np.zeros((words, -(-bits // load_bits) * load_bits), dtype=np.uint8)
    padded[:, :bits] = planes
    return np.packbits(padded.reshape(-1, load_bits), axis=1, bitorder="little")


def _planes(
    name: str,
    kernel: BankedKernel,
    model: IntegerModel,
    layer: int,
    norms: dict[str, NormTensors],
) -> list[Planes]:
    """Words of each memory of a kernel, in the order of the load bus."""
    prefix = f"layer.{layer}"
    if isinstance(kernel, BinaryMvu):
        threshold = None if kernel.raw else model[f"{prefix}.{name}.threshold"]
        return [kernel.memory_bits(model[f"{prefix}.{name}.weight"], threshold)]
    if isinstance(kernel, AddNorm):
        multiplier = norms[name].multiplier
        texts = replace(kernel, multiplier=multiplier).memories(norms[name])
        planes = _read(kernel, texts)
        bits = factor_bits(kernel)
        factor = (multiplier >> np.arange(bits)) & 1
        return [planes[0], factor.astype(np.uint8).reshape(1, bits), *planes[1:]]
    if isinstance(kernel, ChannelThreshold):
        return _read(kernel, kernel.memories(input_thresholds(model, layer)))
    context = model[f"{prefix}.output.input_threshold"]
    tensors = {name: model[f"{prefix}.attention.{name}"] for name in kernel.tables()}
    return _read(kernel, kernel.memories(context, **tensors))


def _read(
    kernel: AddNorm | BinaryAttention | ChannelThreshold, texts: dict[str, str]
) -> list[Planes]:
    return [_bits(texts[name], bits) for name, (_, bits) in banked_files(kernel).items()]


def _bits(text: str, bits: int) -> Planes:
    """Words of a memory file as bits (words, bits), lowest first."""
    digits = -(-bits // 8) * 2
    rows = np.frombuffer(
        bytes.fromhex("".join(line.rjust(digits, "0") for line in text.split())), dtype=np.uint8
    ).reshape(-1, digits // 2)
    return np.unpackbits(rows[:, ::-1], axis=1, bitorder="little", count=bits)
