"""Where edgebert keeps what it can make again."""

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """A folder of this user's; a private temporary one where the home can't be written."""
    folder = Path.home() / ".cache" / "edgebert"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="edgebert-"))
