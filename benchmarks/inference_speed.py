"""Speed of the fast graph against float32 and dynamically quantized BERTs in ONNX Runtime.

The models take turns, so that a change of the machine's speed hits all of them; the figures
are medians. Weights are random, as they do not change the speed. Run from the repository:

    python -m benchmarks.inference_speed
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import quantize_dynamic

from benchmarks.float_bert import build_float_bert
from edgebert.config import load_config, to_dict
from export.fast_ops import use_fast_ops
from export.onnx_fast import build_fast
from tests.models import random_integer_model

ENGINES = ("fast", "plain", "float32", "int8")  # fast and plain: one file
HEADER = f"""# Inference speed of the fast graph

ONNX Runtime {onnxruntime.__version__}, CPU, one thread, medians of interleaved rounds.
`float32` is a BERT of the same architecture built by benchmarks/float_bert.py (GELU, float
softmax, single LayerNormalization nodes), `int8` is onnxruntime.quantization.quantize_dynamic
of it, `fast` is fast.onnx (export/onnx_fast.py): the 1-bit model with its exact integers, in the
operators of export/kernels. `plain` is the same file without them, in ONNX Runtime's own operators.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="tiny,mini,minilm", help="named configurations")
    parser.add_argument("--batches", default="1,32")
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each size and batch")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    args = parser.parse_args()
    results = []
    for size in args.sizes.split(","):
        sessions = make_sessions(size)
        for batch in map(int, args.batches.split(",")):
            medians = measure(sessions, batch, args.tokens, args.seconds)
            results.append({"size": size, "batch": batch, "tokens": args.tokens, **medians})
            print(row(results[-1]), flush=True)
    load = round(os.getloadavg()[0], 1)  # above 1, others took part in what was measured
    text = HEADER + f"\nMachine: {machine()}, load average {load} at the end.\n\n"
    text += table(results)
    data = {
        "machine": machine(),
        "load_average": load,
        "onnxruntime": onnxruntime.__version__,
        "results": results,
    }
    args.output.with_suffix(".json").write_text(json.dumps(data, indent=2) + "\n")
    args.output.with_suffix(".md").write_text(text)


def make_sessions(size: str) -> dict[str, onnxruntime.InferenceSession]:
    """One session per engine, for a named configuration."""
    config = to_dict(load_config(size))["model"]
    names = ("layers", "hidden", "heads", "ffn", "max_tokens", "vocab", "attention")
    model = random_integer_model(0, golden=0, **{name: config[name] for name in names})
    with tempfile.TemporaryDirectory() as folder:
        float_path, int8_path = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(build_float_bert(model.dimensions), float_path)
        quantize_dynamic(float_path, int8_path)
        graph = build_fast(model)
        fast = graph.SerializeToString()
        sources = (fast, fast, str(float_path), str(int8_path))
        options = {name: one_thread() for name in ENGINES}
        if not use_fast_ops(graph, options["fast"]):
            raise SystemExit("expected a C++ compiler for the operators of fast.onnx, got none")
        return {
            name: onnxruntime.InferenceSession(
                source, options[name], providers=["CPUExecutionProvider"]
            )
            for name, source in zip(ENGINES, sources, strict=True)
        }


def one_thread() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


def measure(
    sessions: dict[str, onnxruntime.InferenceSession], batch: int, tokens: int, seconds: float
) -> dict[str, Any]:
    """Median milliseconds of a batch for each engine, and the ratios to `fast`."""
    ids = np.random.default_rng(0).integers(0, 30000, (batch, tokens))
    inputs = {
        "input_ids": ids,
        "token_type_ids": np.zeros_like(ids),
        "attention_mask": np.ones_like(ids),
    }
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for engine in sessions.values():
        engine.run(None, inputs)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["fast"]) < 5:
        for name, engine in sessions.items():
            start = time.perf_counter()
            engine.run(None, inputs)
            times[name].append(1e3 * (time.perf_counter() - start))
    result: dict[str, Any] = {f"{name}_ms": statistics.median(times[name]) for name in sessions}
    for name in ("float32", "int8"):
        result[f"{name}_to_fast"] = result[f"{name}_ms"] / result["fast_ms"]
    result["rounds"] = len(times["fast"])
    return result


def row(r: dict[str, Any]) -> str:
    times = " | ".join(f"{r[f'{name}_ms']:.2f}" for name in ENGINES)
    ratios = f"{r['float32_to_fast']:.2f} | {r['int8_to_fast']:.2f}"
    return f"| {r['size']} | {r['batch']} | {r['tokens']} | {times} | {ratios} |"


def table(results: list[dict[str, Any]]) -> str:
    head = (
        "| size | batch | tokens | fast ms | plain ms | float32 ms | int8 ms "
        "| float32 / fast | int8 / fast |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    return head + "\n".join(row(r) for r in results) + "\n"


def machine() -> str:
    """Processor family and the instructions that decide the speed of integer products."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    flags = set(found.get("flags", "").split())
    known = ("avx2", "avx512bw", "avx512_vnni", "avx_vnni", "amx_int8")
    names = ", ".join(name for name in known if name in flags)
    return f"{found.get('model name', platform.machine())} ({names})"


if __name__ == "__main__":
    main()
