"""What `edgebert chain` does."""

import argparse
import os
import shlex
from dataclasses import replace
from pathlib import Path

from edgebert.chain import read_chain, run_chain, step_command
from edgebert.errors import UserError
from edgebert.options import build_parser, function_of
from edgebert.output import say


def chain(options: argparse.Namespace) -> int:
    """`edgebert chain`."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("chain: expected one process, got torchrun's; run the steps of --dry-run")
    out, added = Path(options.out), []
    if options.max_steps is not None:
        added += ["--max-steps", str(options.max_steps)]
    if options.device is not None:
        added += ["--device", options.device]
    steps = [
        replace(step, words=(*step.words, *added)) if step.words[0] == "train" else step
        for step in read_chain(options.name)
    ]
    # A step with a wrong option is an error at once, not after hours.
    for step in steps:
        build_parser().parse_args(step_command(step, steps, options.data, out))
    if options.dry_run:
        for step in steps:
            print("edgebert", shlex.join(step_command(step, steps, options.data, out)))
        return 0
    last = run_chain(steps, options.data, out, _run, say)
    say(f"{last}: done; go on with edgebert export {last}")
    return 0


def _run(words: list[str]) -> None:
    options = build_parser().parse_args(words)
    function_of(options)(options)
