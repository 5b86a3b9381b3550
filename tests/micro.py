"""A data set and a configuration small enough to train in a second."""

import csv
import random
from pathlib import Path

from edgebert.config import Config, from_dict

GOOD = ["good", "great", "fine", "warm", "funny", "lovely"]
BAD = ["bad", "awful", "dull", "cold", "boring", "poor"]
FILL = ["the", "film", "is", "a", "story", "of", "people", "meet"]


def write_reviews(folder: Path, train: int = 96, dev: int = 32) -> Path:
    """Write train.csv and dev.csv of short sentences with two words that tell the label."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    for name, count in (("train", train), ("dev", dev)):
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            for i in range(count):
                words = rng.choices(FILL, k=rng.randint(2, 9))
                words += rng.choices((BAD, GOOD)[i % 2], k=2)
                rng.shuffle(words)
                writer.writerow([" ".join(words), ("negative", "positive")[i % 2]])
    return folder


def write_config(path: Path, **train: object) -> Path:
    """Write the configuration of `micro_config` as a YAML file."""
    import yaml

    from edgebert.config import to_dict

    path.write_text(yaml.safe_dump(to_dict(micro_config(**train))), encoding="utf-8")
    return path


def micro_config(**train: object) -> Config:
    """One layer of 16 channels; `train` overrides the training section."""
    settings = {"epochs": 4, "lr": 2e-2, "batch_size": 8, "checkpoint_every": 0}
    settings |= train
    model = {"layers": 1, "hidden": 16, "heads": 2, "ffn": 32, "vocab": 300, "max_tokens": 16}
    return from_dict({"model": model, "train": settings})
