"""Speed of training a 1-bit student against the same training in plain torch.

A step is what `edgebert train` does in its w1a1 stage: teacher (w1a2) and student forward, the
distillation loss, backward, gradient clipping, AdamW. Ours is the deployed arithmetic by the
C++ kernels; `plain` is benchmarks/plain_bit.py, the float simulation of the same quantizers, with
torch.optim.AdamW as it comes. Both take the same padded batches in turns. Run from the
repository:

    python -m benchmarks.train_speed

`make bench` sets GOMP_SPINCOUNT as `edgebert` does: how long threads wait busily for each other.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.inference_speed import machine
from benchmarks.plain_bit import PlainBert
from edgebert import native
from edgebert.batches import EncodedSplit, bucketed_batches, encode_split
from edgebert.config import Bits, Config, load_config
from edgebert.distill import Counts, distill_loss
from edgebert.evaluate import model_inputs
from edgebert.model import BinaryBert, Output, next_stage
from edgebert.optim import clip_gradients, make_optimizer, use_sparse_table
from edgebert.tasks import load_task
from edgebert.tokenizer import Tokenizer

Batch = tuple[tuple[Tensor, Tensor, Tensor], Tensor, Counts]  # inputs, labels, counts
Step = Callable[[Batch], None]

LR = 1e-4
BATCHES = 8  # each from another place of the epoch, so of several lengths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="tiny,mini,minilm", help="named configurations")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=2, help=f"of {BATCHES} batches each")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    args = parser.parse_args()
    split = encode_split(Tokenizer.load_minilm(), load_task("reviews").train)
    results = []
    for size in args.sizes.split(","):
        config = load_config(size)
        batches = make_batches(split, config)
        steps = make_steps(config, batches[0])
        for threads in map(int, args.threads.split(",")):
            torch.set_num_threads(threads)
            results.append(
                {"size": size, "threads": threads, **measure(steps, batches, args.rounds)}
            )
            print(row(results[-1]), flush=True)
    data = {
        "machine": machine(),
        "torch": torch.__version__,
        "gomp_spincount": os.environ.get("GOMP_SPINCOUNT", "default"),
        "load_average": round(os.getloadavg()[0], 1),  # above 2, others took part
        "cores": os.cpu_count(),
        "kernels": native.describe(),
        "batch_size": load_config("tiny").train.batch_size,
        "results": results,
        "padding": padding(split, load_config("tiny").train.batch_size),
    }
    args.output.with_suffix(".json").write_text(json.dumps(data, indent=2) + "\n")
    args.output.with_suffix(".md").write_text(report(data))


def make_batches(split: EncodedSplit, config: Config) -> list[Batch]:
    """Bucketed batches of an epoch, as training has them."""
    train, device = config.train, torch.device("cpu")
    batches = []
    for indices in bucketed_batches(split.lengths, train.batch_size, train.seed, 0)[:BATCHES]:
        assert split.labels is not None
        labels = split.labels[indices]
        counts = Counts.of(split.lengths[indices], labels)
        batches.append((model_inputs(split, indices, device), torch.from_numpy(labels), counts))
    return batches


def make_steps(config: Config, first: Batch) -> dict[str, Step]:
    """The optimizer steps of both programs, from the same weights."""
    torch.manual_seed(0)
    full = BinaryBert(config.model, config.arithmetic, 2, Bits(32, 32))
    teacher = next_stage(full, Bits(1, 2))
    student = next_stage(teacher, Bits(1, 1))
    for model in (teacher, student):
        model.train()
        with torch.no_grad():
            model(*first[0])  # sets the scales
    deployed = next_stage(student, Bits(1, 1), deploy=True).train()
    plain, plain_teacher = PlainBert(student).train(), PlainBert(teacher)
    for frozen in (teacher, plain_teacher):
        frozen.eval().requires_grad_(False)
    simple = torch.optim.AdamW(plain.parameters(), lr=LR, weight_decay=config.train.weight_decay)
    use_sparse_table(deployed.word, processes=1)
    ours = make_optimizer(deployed, config.train)
    for group in ours.param_groups:
        group["lr"] = LR
    return {
        "ours": make_step(deployed, teacher, ours, clip_gradients, config),
        "plain": make_step(plain, plain_teacher, simple, nn.utils.clip_grad_norm_, config),
    }


def make_step(
    student: nn.Module,
    teacher: nn.Module,
    optimizer: torch.optim.Optimizer,
    clip: Callable[..., object],
    config: Config,
) -> Step:
    def step(batch: Batch) -> None:
        inputs, labels, counts = batch
        output: Output = student(*inputs)
        with torch.no_grad():
            target: Output = teacher(*inputs)
        loss = distill_loss(
            output,
            target,
            labels,
            inputs[2],
            config=config.distill,
            regression=False,
            counts=counts,
        )
        loss.backward()
        clip(student.parameters(), config.train.grad_clip)
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(steps: dict[str, Step], batches: list[Batch], rounds: int) -> dict[str, Any]:
    """Sentences per second of both, and the medians of their ratios batch by batch."""
    wall: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step(batches[0])
    for batch in batches * rounds:
        for name, step in steps.items():
            begin, begin_cpu = time.perf_counter(), time.process_time()
            step(batch)
            wall[name].append(time.perf_counter() - begin)
            cpu[name].append(time.process_time() - begin_cpu)
    sentences = len(batches[0][1])
    result: dict[str, Any] = {
        f"{name}_sentences_per_second": sentences / statistics.median(wall[name]) for name in steps
    }
    for name, times in (("wall", wall), ("cpu", cpu)):
        pairs = zip(times["ours"], times["plain"], strict=True)
        result[f"{name}_ratio"] = statistics.median(b / a for a, b in pairs)
    return {**result, "steps": len(wall["ours"])}


def padding(split: EncodedSplit, size: int) -> dict[str, float]:
    """Places of an epoch's padded batches per real token: random and bucketed batches."""
    lengths = split.lengths
    order = np.random.default_rng(0).permutation(len(lengths))
    random = [order[i : i + size] for i in range(0, len(order), size)]
    bucketed = bucketed_batches(lengths, size, seed=0, epoch=0)
    places = [
        sum(len(b) * int(lengths[b].max()) for b in batches) / int(lengths.sum())
        for batches in (random, bucketed)
    ]
    return {"random": places[0], "bucketed": places[1], "gain": places[0] / places[1]}


def row(r: dict[str, Any]) -> str:
    speeds = " | ".join(f"{r[f'{name}_sentences_per_second']:.0f}" for name in ("ours", "plain"))
    ratios = f"{r['wall_ratio']:.2f} | {r['cpu_ratio']:.2f}"
    return f"| {r['size']} | {r['threads']} | {speeds} | {ratios} |"


def report(data: dict[str, Any]) -> str:
    p = data["padding"]
    lines = [
        "# Training speed",
        "",
        "Sentences per second of the w1a1 stage: forward of teacher (w1a2) and student,",
        "distillation loss, backward, gradient clipping, AdamW; batches of "
        f"{data['batch_size']} sentences of",
        "the task `reviews`. `ours` trains the deployed integers by fused kernels; `plain`",
        "(benchmarks/plain_bit.py) is the same quantizers simulated in plain float32 torch.",
        "Both take the same padded batches in turns; the ratios are medians over the batches, of",
        "wall and of processor time.",
        "",
        f"Machine: {data['machine']}, {data['cores']} cores, load average {data['load_average']} "
        f"at the end; torch {data['torch']}; {data['kernels']}; "
        f"GOMP_SPINCOUNT {data['gomp_spincount']}.",
        "",
        "| size | threads | ours | plain | ours / plain, wall | ours / plain, CPU |",
        "| --- | --- | --- | --- | --- | --- |",
        *map(row, data["results"]),
        "",
        "Not part of these ratios: batches of like length. An epoch of `reviews` has "
        f"{p['random']:.2f} places",
        f"per token in random batches and {p['bucketed']:.2f} in ours: {p['gain']:.2f} times less "
        "work.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
