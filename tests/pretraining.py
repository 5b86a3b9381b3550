"""A teacher, text and a configuration small enough to pre-train in a second."""

import random
from pathlib import Path

import torch

from edgebert.config import Config, from_dict
from edgebert.tokenizer import Tokenizer
from tests.micro import BAD, FILL, GOOD

WORDS = [*FILL, *GOOD, *BAD]


def write_teacher(folder: Path) -> Path:
    """A small BERT as transformers saves it, whose weights are large enough to say something."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 3}
    config = BertConfig(
        vocab_size=5 + len(WORDS),
        intermediate_size=40,
        max_position_embeddings=16,
        initializer_range=0.2,
        **sizes,
    )
    BertModel(config).save_pretrained(folder)
    Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]).save(folder)
    return folder


def write_text(path: Path) -> Path:
    """200 lines of 2 to 12 words."""
    rng = random.Random(0)
    lines = [" ".join(rng.choices(WORDS, k=rng.randint(2, 12))) for _ in range(200)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def micro(**changes: object) -> Config:
    """Two layers of 16 channels, batches of 8; `changes` are of the section `pretrain`."""
    model = {"layers": 2, "hidden": 16, "heads": 2, "ffn": 32, "vocab": 25, "max_tokens": 16}
    settings = {"lr": 1e-2, "batch_size": 8, "relation_heads": 4, "dropout": 0.1} | changes
    return from_dict({"model": model, "train": {"checkpoint_every": 0}, "pretrain": settings})
