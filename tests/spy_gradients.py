"""Script for torchrun: train, and save the gradients of every stage's first step.

Usage: spy_gradients.py CONFIG DATA OUT; writes OUT.STAGE.RANK-of-WORLD.safetensors and, with
the weights that each process ends with, OUT.end.RANK-of-WORLD.safetensors.
"""

import sys
from pathlib import Path

from edgebert import stages, train
from edgebert.checkpoint import save_tensors
from edgebert.config import load_config


def main(config: str, data: str, out: str) -> None:
    optimize = stages.Stage._optimize

    def spy(stage: stages.Stage) -> None:
        def save(name: str, gradients: bool) -> None:
            accelerator = stage.context.accelerator
            rank = f"{accelerator.process_index}-of-{accelerator.num_processes}"
            values = {
                key: parameter.grad if gradients else parameter
                for key, parameter in stage.model.named_parameters()
            }
            known = {key: value.to_dense() for key, value in values.items() if value is not None}
            save_tensors(Path(f"{out}.{name}.{rank}.safetensors"), known)

        step = stage.optimizer.step

        def save_and_step() -> None:
            if stage.step == 0:
                save(stage.bits.name, gradients=True)
            step()

        stage.optimizer.step = save_and_step
        optimize(stage)
        stage.optimizer.step = step
        save("end", gradients=False)

    stages.Stage._optimize = spy
    train.train(load_config(config), "csv", data, out, device="cpu", max_steps=2)


if __name__ == "__main__":
    main(*sys.argv[1:])
