"""The tests of the RTL notice faults that are planted in it."""

from pathlib import Path

import pytest

from tests.mutations import MUTATIONS, Mutation, caught, copy_sources, plant


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name.replace(" ", "-"))
def test_every_fault_can_be_planted(mutation: Mutation, tmp_path: Path) -> None:
    copy_sources(tmp_path)
    before = (tmp_path / "hw" / "rtl" / mutation.file).read_text()
    plant(mutation, tmp_path)
    assert (tmp_path / "hw" / "rtl" / mutation.file).read_text() != before
    assert (tmp_path / "tests" / mutation.test.split("::")[0]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name.replace(" ", "-"))
def test_every_planted_fault_is_caught(mutation: Mutation) -> None:
    found, _ = caught(mutation)
    assert found, f"no test of {mutation.test} notices: {mutation.name}"
