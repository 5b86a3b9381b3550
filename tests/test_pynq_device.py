"""A real board's device, with a stand-in for pynq; the lock between processes."""

import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hw.pynq.edgebert_board.device import HP0, BoardLock, PynqDevice
from hw.pynq.edgebert_board.driver import Accelerator
from hw.pynq.edgebert_board.errors import BoardError
from hw.pynq.edgebert_board.package import Package
from tests.board_packages import model_device, reference_encoder, small_package
from tests.models import random_integer_model
from tests.test_pynq_driver import batch, check

MODEL = random_integer_model()
HOLD = """
import sys, time
from pathlib import Path
from hw.pynq.edgebert_board.device import BoardLock
lock = BoardLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module", params=[b"<hwh/>", None], ids=["hwh", "bit"])
def package(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Package]:
    folder = tmp_path_factory.mktemp("package")
    with small_package(folder, MODEL, bitstream=b"bits", hwh=request.param) as package:
        yield package


class FakePort:
    """Registers of the memory port, left at 32 bits; the other bits are not ours."""

    def __init__(self) -> None:
        self.values = {0x00: 0x5, 0x14: 0xF01}

    def read(self, offset: int) -> int:
        return self.values[offset]

    def write(self, offset: int, value: int) -> None:
        self.values[offset] = value


class FakePynq(types.ModuleType):
    """Overlay, Bitstream, MMIO, allocate and Clocks as pynq has them."""

    def __init__(self, package: Package) -> None:
        super().__init__("pynq")
        self.board = model_device(package, reference_encoder(MODEL))
        self.ps = types.ModuleType("pynq.ps")
        self.ps.Clocks = types.SimpleNamespace(fclk0_mhz=50.0)  # type: ignore[attr-defined]
        self.calls: list[Any] = []
        self.memory_port = FakePort()

    def Overlay(self, path: str) -> None:
        self.calls.append(("Overlay", Path(path).read_bytes()))

    def Bitstream(self, path: str) -> Any:
        content = Path(path).read_bytes()
        return types.SimpleNamespace(download=lambda: self.calls.append(("Bitstream", content)))

    def MMIO(self, base_address: int, length: int) -> Any:
        self.calls.append(("MMIO", base_address, length))
        return self.memory_port if base_address == HP0 else self.board

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.board.allocate(shape, dtype)


@pytest.fixture
def pynq(package: Package, monkeypatch: pytest.MonkeyPatch) -> FakePynq:
    fake = FakePynq(package)
    monkeypatch.setitem(sys.modules, "pynq", fake)
    monkeypatch.setitem(sys.modules, "pynq.ps", fake.ps)
    return fake


def test_the_bitstream_is_loaded_and_computes(
    package: Package, pynq: FakePynq, tmp_path: Path
) -> None:
    device = PynqDevice(package, tmp_path / "lock")
    has_hwh = package.board.hwh is not None
    kind = "Overlay" if has_hwh else "Bitstream"
    ports = [] if has_hwh else [("MMIO", HP0, 4096)]
    assert pynq.calls == [(kind, b"bits"), *ports, ("MMIO", 0x43C00000, 4096)]
    narrow = {0x00: 0x5, 0x14: 0xF01}
    assert pynq.memory_port.values == (narrow if has_hwh else {0x00: 0x4, 0x14: 0xF00})
    assert pynq.ps.Clocks.fclk0_mhz == (50.0 if has_hwh else 100.0)
    with Accelerator(device, package.sizes, package.board) as accelerator:
        check(accelerator, pynq.board.encoder)
        with pytest.raises(BoardError, match=f"in use by process {os.getpid()}"):
            PynqDevice(package, tmp_path / "lock")
    assert not pynq.board.memory
    PynqDevice(package, tmp_path / "lock").close()


def test_no_memory_is_one_line(package: Package, pynq: FakePynq, tmp_path: Path) -> None:
    device = PynqDevice(package, tmp_path / "lock")
    with Accelerator(device, package.sizes, package.board) as accelerator:
        pynq.board.allocations_left = 1
        with pytest.raises(BoardError, match="in contiguous memory, got: no contiguous memory"):
            accelerator.run(batch().residual, batch().lengths)
        assert not pynq.board.memory


@pytest.mark.parametrize("error", [RuntimeError("no\nFPGA manager"), OSError(5, "I/O error")])
def test_a_failing_load_is_one_line_and_lets_go(
    package: Package, pynq: FakePynq, tmp_path: Path, error: Exception
) -> None:
    def failing(path: str) -> None:
        raise error

    pynq.Overlay = pynq.Bitstream = failing  # type: ignore[assignment, method-assign]
    with pytest.raises(BoardError, match=r"edgebert\.bit: expected to load it, got: ") as caught:
        PynqDevice(package, tmp_path / "lock")
    assert "\n" not in str(caught.value)
    BoardLock(tmp_path / "lock").release()


def test_without_pynq_or_bitstream_it_is_no_board(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(BoardError, match="pynq: expected a PYNQ board's Python"):
        PynqDevice(package, tmp_path / "lock")
    BoardLock(tmp_path / "lock").release()
    with (
        small_package(tmp_path, MODEL) as bare,
        pytest.raises(BoardError, match="expected a bitstream in the package, got none"),
    ):
        PynqDevice(bare, tmp_path / "lock")


def test_two_processes_cannot_share_the_board(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(BoardError, match=f"got it in use by process {holder.pid};"):
            BoardLock(path)
    finally:
        holder.kill()
        holder.communicate()
    with BoardLock(path):  # a killed process holds nothing
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_lock_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="expected to open the board's lock"):
        BoardLock(tmp_path / "none" / "lock")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BoardError, match="expected to open the board's lock"):
        BoardLock(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()
    lock = BoardLock(tmp_path / "lock")
    lock.release()
    lock.release()
