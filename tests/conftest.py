"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def glue() -> Path:
    """The GLUE download: $EDGEBERT_GLUE, or shared/glue beside the repository."""
    folder = Path(os.environ.get("EDGEBERT_GLUE", REPOSITORY.parent / "shared" / "glue"))
    if not folder.is_dir():
        pytest.skip("no GLUE data: it may not be redistributed; set EDGEBERT_GLUE to a download")
    return folder
