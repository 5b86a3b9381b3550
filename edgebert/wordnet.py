"""The definitions and examples of WordNet: short sentences and phrases on anything there is.

Format of its files: wndb(5WN). Debian's package `wordnet-base` has them; elsewhere they are the
folder `dict` of WordNet's own archive, which the environment variable WNSEARCHDIR names.
"""

import os
import re
from pathlib import Path

from edgebert.errors import UserError
from edgebert.text import read_lines

PLACE = "/usr/share/wordnet"
FILES = ("data.noun", "data.verb", "data.adj", "data.adv")

_EXAMPLE = re.compile(r'"([^"]+)"')
# With what follows an example in its part of a gloss, such as who wrote it.
_QUOTED = re.compile(r'"[^"]*"[^;]*')


def wordnet_sentences(*, definitions: bool) -> list[str]:
    """The examples, and with `definitions` before those of a meaning what it says, in file order.

    Their white space is made single; one may occur more than once. Raises UserError where a file
    isn't at hand, or a line in it has no gloss.
    """
    found = []
    for path in _paths():
        for number, line in enumerate(read_lines(path), 1):
            if line.startswith("  ") or not line:  # the licence
                continue
            gloss = line.partition(" | ")[2]
            if not gloss.strip():
                raise UserError(f"{path}:{number}: expected a gloss after ' | ', got none")
            parts = _EXAMPLE.findall(gloss)
            if definitions:
                parts.insert(0, _QUOTED.sub("", gloss).strip(" ;"))
            found += [sentence for part in parts if (sentence := " ".join(part.split()))]
    return found


def _paths() -> list[Path]:
    folder = Path(os.environ.get("WNSEARCHDIR") or PLACE)
    paths = [folder / name for name in FILES]
    absent = next((path.name for path in paths if not path.is_file()), None)
    if absent:
        raise UserError(
            f"{folder}: expected WordNet's {', '.join(FILES)}, got no {absent}; apt install "
            "wordnet-base, or name their folder in WNSEARCHDIR"
        )
    return paths
