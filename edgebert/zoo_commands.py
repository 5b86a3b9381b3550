"""What `edgebert zoo` does."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgebert.errors import UserError
from edgebert.output import print_table, write_json

if TYPE_CHECKING:
    from edgebert.zoo.encoders import ZooEncoder


def zoo(options: argparse.Namespace) -> int:
    """`edgebert zoo`."""
    return _list(options) if options.action == "list" else _get(options)


def _list(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from edgebert.zoo import read_index
    from edgebert.zoo.encoders import read_encoders

    models, encoders = read_index().values(), read_encoders().values()
    header = ["model", "metric", "teacher", "w1a2", "w1a1", "MB"]
    rows = []
    for m in models:
        scores = (m.teacher, m.w1a2, m.w1a1)
        figures = ["" if value is None else f"{value:.4f}" for value in scores]
        rows.append([m.name, m.metric, *figures, f"{m.bytes / 1e6:.2f}"])
    print_table(header, rows)
    rows = [
        [e.name, ",".join(e.stages), e.teacher, f"{e.sentences:,}", f"{e.bytes / 1e6:.2f}"]
        for e in encoders
    ]
    if rows:
        print()
        print_table(["encoder, for --init", "stages", "teacher", "sentences", "MB"], rows)
    found = {"models": [asdict(m) for m in models], "encoders": [asdict(e) for e in encoders]}
    write_json(options.json, found)
    return 0


def _get(options: argparse.Namespace) -> int:
    from edgebert.zoo import find, model_file
    from edgebert.zoo.encoders import read_encoders
    from export.package import rebuild

    out, encoders = Path(options.out), read_encoders()
    if options.name in encoders:
        return _get_encoder(encoders[options.name], options)
    model = find(options.name, others=encoders)
    exported = rebuild(out, model_file(model), options.target, force=options.force)
    files = exported.manifest["files"]
    rows = [[name, f"{entry['bytes']:,}"] for name, entry in sorted(files.items())]
    print_table([str(out), "bytes"], rows)
    return 0


def _get_encoder(encoder: "ZooEncoder", options: argparse.Namespace) -> int:
    from edgebert.checkpoint import new_folder
    from edgebert.encoder_folder import check_new
    from edgebert.zoo.encoders import unpack_encoder

    out = Path(options.out).resolve()
    if options.target is not None:
        raise UserError(
            f"--target {options.target}: expected a trained model, got the encoder {encoder.name}; "
            "train it first with edgebert train --init"
        )
    check_new(out, force=options.force)
    with new_folder(out) as fresh:
        unpack_encoder(encoder, fresh)
    files = sorted(out.iterdir())
    print_table([str(out), "bytes"], [[path.name, f"{path.stat().st_size:,}"] for path in files])
    return 0
