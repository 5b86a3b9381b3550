"""Where compiled kernels and simulations, and what else can be made again, are kept."""

import os
import stat
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """`~/.cache/edgebert` (or in XDG_CACHE_HOME); a folder in /tmp where that can't be written.

    Programs are loaded from it, so one in /tmp is taken only if it is this user's alone.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgebert"
    try:
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=base):
            return base
    except OSError:
        private = Path(tempfile.gettempdir()) / f"edgebert-{os.getuid()}"
        private.mkdir(mode=0o700, exist_ok=True)
        found = private.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            return private
        return Path(tempfile.mkdtemp(prefix="edgebert-"))
