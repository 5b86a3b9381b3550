"""Packages: the same bytes again, and only whole, own and untouched ones are opened."""

import hashlib
import io
import json
import os
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.errors import HardwareFileError, ParameterError
from hw.integer_model import model_bytes
from hw.pynq.edgebert_board import package as board_package
from hw.pynq.edgebert_board.errors import BoardError
from hw.pynq.edgebert_board.package import (
    Package,
    extract,
    open_package,
    residual_hash,
    sentence_key,
)
from hw.pynq.packager import BoardBuild, package_files, sums_bytes, write_package, zip_bytes
from tests.board_packages import small_package, write_small_export, write_small_package
from tests.models import random_integer_model

MODEL = random_integer_model(labels=3)
BUILD = BoardBuild(
    "pynq-z2", 12, 100_000, bitstream=b"bits", hwh=b"<hwh/>", weights=bytes(range(64))
)
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_export(tmp_path_factory.mktemp("export"), MODEL)


@pytest.fixture
def files(export: Path) -> Files:
    return package_files(export, BUILD)


@pytest.fixture(autouse=True)
def nothing_stays_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whatever is opened and closed, or refused, leaves no folder behind."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield
    assert not list(place.iterdir())


def put(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def restated(files: Files) -> Files:
    """With a SHA256SUMS that is true again: what only the content can tell."""
    rest = {name: content for name, content in files.items() if name != "SHA256SUMS"}
    return {**rest, "SHA256SUMS": sums_bytes(rest)}


def with_manifest(files: Files, change: Callable[[dict[str, Any]], Any]) -> Files:
    manifest = json.loads(files["manifest.json"])
    change(manifest)
    return restated({**files, "manifest.json": json.dumps(manifest).encode()})


def refused(tmp_path: Path, files: Files, message: str) -> None:
    """As a zip and as a folder; one line each."""
    (tmp_path / "p.zip").write_bytes(zip_bytes(files))
    for path in (tmp_path / "p.zip", put(tmp_path / "folder", files)):
        with pytest.raises(BoardError, match=message) as caught:
            use(open_package(path))
        assert "\n" not in str(caught.value)
    shutil.rmtree(tmp_path / "folder")


def use(package: Package) -> None:
    with package:
        _ = package.host, package.tokenizer, package.golden, package.expected


def test_the_same_export_gives_the_same_bytes(export: Path, tmp_path: Path) -> None:
    digests = [write_package(tmp_path / f"{i}.zip", export, BUILD) for i in (0, 1)]
    os.utime(export / "tables.npz", (0, 0))
    digests.append(write_package(tmp_path / "0.zip", export, BUILD))
    assert len(set(digests)) == 1
    assert (tmp_path / "0.zip").read_bytes() == (tmp_path / "1.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "0.zip") as archive:
        names = [entry.filename for entry in archive.infolist()]
        assert names == sorted(names)
        for entry in archive.infolist():
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.external_attr >> 16 == stat.S_IFREG | 0o644
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_package_has_what_a_board_needs(export: Path, tmp_path: Path, files: Files) -> None:
    logits = np.array([5, -6, 1 << 40])
    sentence = ([2, 7, 3], [0, 0, 0])
    residual = np.arange(-48, 48).reshape(3, 32)
    digest = write_package(tmp_path / "p.zip", export, BUILD, [(sentence, logits, residual)])
    with open_package(tmp_path / "p.zip") as package:
        assert package.digest == digest
        assert package.manifest["task"] == "random"
        assert package.labels == ["label0", "label1", "label2"] and not package.regression
        assert package.sizes.max_tokens == package.tokenizer.max_tokens == 12
        assert package.sizes.positions == 16 and package.sizes.outputs == 3
        board = package.board
        assert board.model_hash == hashlib.sha256(model_bytes(MODEL)).hexdigest()
        assert (board.name, board.load_beats, board.clock_khz) == ("pynq-z2", 4, 100_000)
        assert package.content(board.bitstream or "") == b"bits"
        assert (package.path / (board.hwh or "")).read_bytes() == b"<hwh/>"
        assert package.content("weights.bin") == BUILD.weights
        assert package.expected.keys() == {sentence_key(*sentence)}
        expected = package.expected[sentence_key(*sentence)]
        assert np.array_equal(expected.logits, logits)
        hashed = hashlib.sha256(struct.pack("<96i", *range(-48, 48))).digest()
        assert expected.residual == residual_hash(residual) == hashed[:16]
        assert len(package.golden) == 3
        assert {"embedding.sum", "layer.1.ffn_norm.residual"} <= package.golden[0].keys()
        assert b"pynq-z2" in package.content("README.md")
        assert "edgebert_board/driver.py" in package.sums
    with pytest.raises(BoardError, match=r"got none"):
        package.content("manifest.json")
    with open_package(put(tmp_path / "folder", files)) as package:
        assert package.expected == {}
    assert (tmp_path / "folder" / "manifest.json").is_file()  # close removes only its own


def test_a_zip_is_unpacked_whole(tmp_path: Path, files: Files) -> None:
    (tmp_path / "p.zip").write_bytes(zip_bytes(files))
    folder = extract(tmp_path / "p.zip", tmp_path / "new" / "board")
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == files
    with pytest.raises(BoardError, match="exists already"):
        extract(tmp_path / "p.zip", folder)


@pytest.mark.parametrize(
    "name", ["tables.npz", "golden.npz", "manifest.json", "edgebert.bit", "edgebert_board/bench.py"]
)
def test_a_changed_file_is_refused(tmp_path: Path, files: Files, name: str) -> None:
    content = bytearray(files[name])
    content[len(content) // 2] ^= 1
    refused(tmp_path, {**files, name: bytes(content)}, f"{name}: changed since")
    refused(tmp_path, {**files, name: files[name][:-1]}, f"{name}: changed since")


def test_a_missing_or_additional_file_is_refused(tmp_path: Path, files: Files) -> None:
    for name in ("tables.npz", "edgebert.bit", "weights.bin"):
        rest = {n: c for n, c in files.items() if n != name}
        refused(tmp_path, rest, name)
        refused(tmp_path, restated(rest), name)
    refused(tmp_path, {n: c for n, c in files.items() if n != "SHA256SUMS"}, "SHA256SUMS")
    (tmp_path / "more.zip").write_bytes(zip_bytes({**files, "sitecustomize.py": b""}))
    with pytest.raises(BoardError, match=r"but for sitecustomize\.py"):
        open_package(tmp_path / "more.zip")


def test_a_truncated_zip_is_refused_at_every_length(tmp_path: Path, files: Files) -> None:
    whole = zip_bytes(files)
    for size in [*range(0, len(whole), len(whole) // 23), len(whole) - 1]:
        (tmp_path / "p.zip").write_bytes(whole[:size])
        with pytest.raises(BoardError, match=r"damaged or foreign|got no SHA256SUMS") as caught:
            open_package(tmp_path / "p.zip")
        assert "\n" not in str(caught.value)


def test_a_damaged_zip_is_refused_wherever_a_byte_changed(tmp_path: Path, files: Files) -> None:
    """Or else it has the same files."""
    whole = zip_bytes(files)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 60):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(0, 8))
        (tmp_path / "p.zip").write_bytes(changed)
        try:
            folder = extract(tmp_path / "p.zip", tmp_path / "out")
        except BoardError:
            assert sorted(path.name for path in tmp_path.iterdir()) == ["p.zip", "temporary"]
            continue
        assert {n: (folder / n).read_bytes() for n in files} == files
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "a/../../evil.txt",
        "/tmp/evil.txt",
        "a//b",
        "./a",
        "a/.",
        ".hidden",
        "C:\\evil.txt",
        "a\\..\\evil",
        "c:evil",
        "a b",
        "a\nb",
        "",
        "a/",
    ],
)
def test_no_name_escapes_the_folder(tmp_path: Path, files: Files, name: str) -> None:
    evil = {**files, name: b"evil"}
    (tmp_path / "p.zip").write_bytes(zip_bytes(restated(evil)))
    with pytest.raises(BoardError, match=r"expected plain files|expected a hash and a file name"):
        extract(tmp_path / "p.zip", tmp_path / "in" / "folder")
    assert not list(tmp_path.rglob("*evil*")) and not (tmp_path / "in").exists()
    with pytest.raises(BoardError):
        open_package(put(tmp_path / "other", {**files, "SHA256SUMS": sums_bytes(evil)}))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_a_link_or_device_in_a_zip_is_refused(tmp_path: Path, files: Files, kind: int) -> None:
    buffer = io.BytesIO(zip_bytes(files))
    with zipfile.ZipFile(buffer, "a") as archive:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = (kind | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    (tmp_path / "p.zip").write_bytes(buffer.getvalue())
    with pytest.raises(BoardError, match="expected plain files in the package, got 'link'"):
        extract(tmp_path / "p.zip", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_twice_in_a_zip_is_refused(tmp_path: Path, files: Files) -> None:
    buffer = io.BytesIO(zip_bytes(files))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("tables.npz", b"other")
    (tmp_path / "p.zip").write_bytes(buffer.getvalue())
    with pytest.raises(BoardError, match=r"each file once.*tables\.npz"):
        open_package(tmp_path / "p.zip")


def test_more_than_a_package_can_hold_is_refused(
    tmp_path: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = sum(map(len, files.values()))
    (tmp_path / "p.zip").write_bytes(zip_bytes(files))
    monkeypatch.setattr(board_package, "LARGEST", total)
    open_package(tmp_path / "p.zip").close()
    monkeypatch.setattr(board_package, "LARGEST", total - 1)
    with pytest.raises(BoardError, match="few and small"):
        open_package(tmp_path / "p.zip")
    monkeypatch.setattr(board_package, "LARGEST", len(files["tables.npz"]) - 1)
    with pytest.raises(BoardError, match="expected at most"):
        open_package(put(tmp_path / "folder", files))


def test_a_link_in_a_folder_is_refused(tmp_path: Path, files: Files) -> None:
    folder = put(tmp_path / "folder", files)
    (folder / "tables.npz").rename(tmp_path / "elsewhere")
    (folder / "tables.npz").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BoardError, match="got a link"):
        open_package(folder)
    folder = put(tmp_path / "second", files)
    (folder / "tokenizer").rename(tmp_path / "words")
    (folder / "tokenizer").symlink_to(tmp_path / "words")
    with pytest.raises(BoardError, match="got a link"):
        open_package(folder)


def test_a_folder_may_have_more_files(tmp_path: Path, files: Files) -> None:
    folder = put(tmp_path / "folder", {**files, "result.json": b"{}", "a/__pycache__/b": b""})
    open_package(folder).close()


def test_a_zip_with_folders_of_its_own_is_opened(tmp_path: Path, files: Files) -> None:
    buffer = io.BytesIO(zip_bytes(files))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("tokenizer/", b"")
    (tmp_path / "p.zip").write_bytes(buffer.getvalue())
    open_package(tmp_path / "p.zip").close()


def test_foreign_files_are_refused(tmp_path: Path, files: Files) -> None:
    (tmp_path / "text").write_text("hello")
    for path, message in (
        (tmp_path / "text", "damaged or foreign"),
        (tmp_path / "none.zip", "No such file"),
    ):
        with pytest.raises(BoardError, match=message):
            open_package(path)
    refused(tmp_path, {"a.txt": b"a"}, "SHA256SUMS")
    refused(tmp_path, restated({"a.txt": b"a"}), r"got no manifest\.json")
    refused(tmp_path, {**files, "SHA256SUMS": b"\xff\x00 nonsense"}, "SHA256SUMS")
    refused(tmp_path, with_manifest(files, lambda m: m.update(format="other")), "got another")
    broken = restated({**files, "manifest.json": b"[" * 100_000})
    refused(tmp_path, broken, "got another manifest")
    refused(tmp_path, restated({**files, "manifest.json": b"[1]"}), "got another manifest")


def test_another_version_is_named(tmp_path: Path, files: Files) -> None:
    newer = with_manifest(files, lambda m: m.update(format_version=2))
    refused(tmp_path, newer, "expected format version 1, got 2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(model_sha256="0" * 63), "model_sha256"),
        (lambda m: m.pop("board"), "section board"),
        (lambda m: m["board"].update(bitstream="../../x.bit"), r"\.\./\.\./x\.bit"),
        (lambda m: m["board"].update(bitstream="none.bit"), r"none\.bit"),
        (lambda m: m["board"].update(hwh=3), "names of the board"),
        (lambda m: m["board"].update(base_address="0x4"), "board.base_address"),
        (lambda m: m["board"].update(load_beats=True), "board.load_beats"),
        (lambda m: m["board"].update(clock_khz=0), "board.clock_khz"),
        (lambda m: m.update(max_tokens=17), "max_tokens: expected 4 to 16, got 17"),
        (lambda m: m["model"].update(hidden=0), "model.hidden"),
        (lambda m: m["model"].update(hidden=31), "shape"),
        (lambda m: m["model"].pop("vocab"), "model.vocab"),
        (lambda m: m["model"].update(vocab=49), "shape|49 tokens"),
        (lambda m: m["formats"].update(word_bits=1), "word_bits"),
        (lambda m: m["formats"].update(rsqrt_index_bits=9), "rsqrt_index_bits"),
        (lambda m: m.update(labels=["a", 1]), "labels"),
        (lambda m: m.update(labels=["a"]), "labels"),
        (lambda m: m.update(metric=None), "metric"),
    ],
)
def test_an_absurd_manifest_is_refused(
    tmp_path: Path, files: Files, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    refused(tmp_path, with_manifest(files, change), message)


def test_archives_that_are_none_are_refused(tmp_path: Path, files: Files) -> None:
    def npz(**arrays: Any) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    for name in ("tables.npz", "golden.npz"):
        refused(tmp_path, restated({**files, name: b"nothing"}), f"{name}: expected arrays")
        half = files[name][: len(files[name]) // 2]
        refused(tmp_path, restated({**files, name: half}), f"{name}: expected arrays")
    evil = npz(**{"embedding.position": np.array([print], dtype=object)})
    refused(tmp_path, restated({**files, "tables.npz": evil}), "tables.npz: expected arrays")
    for content, message in (
        (npz(a=np.zeros(2, int)), "integers of sentences"),
        (npz(**{"0.logits": np.zeros(2)}), "integers of sentences"),
        (npz(**{"0.logits": np.zeros(2, int)}), "input_ids of every sentence"),
        (npz(**{"1.logits": np.zeros(2, int)}), "numbered from 0"),
    ):
        refused(tmp_path, restated({**files, "golden.npz": content}), message)
    keys, logits = np.zeros((2, 16), "u1"), np.zeros((2, 3), int)
    for content in (
        npz(a=np.zeros(1)),
        npz(keys=keys, logits=np.zeros(2, int), residuals=keys),
        npz(keys=keys, logits=logits),
        npz(keys=keys, logits=logits, residuals=keys[:1]),
    ):
        refused(tmp_path, restated({**files, "expected.npz": content}), "as many logits and hashes")
    whole = restated({**files, "expected.npz": npz(keys=keys, logits=logits, residuals=keys)})
    use(open_package(put(tmp_path / "whole", whole)))
    vocab = files["tokenizer/vocab.txt"] + b"one more\n"
    refused(tmp_path, restated({**files, "tokenizer/vocab.txt": vocab}), "50 tokens, got 51")


def test_a_damaged_export_makes_no_package(tmp_path: Path, export: Path) -> None:
    out = tmp_path / "p.zip"
    folder = tmp_path / "export"
    shutil.copytree(export, folder)
    (folder / "tables.npz").write_bytes(b"changed")
    with pytest.raises(HardwareFileError, match=r"tables\.npz: changed since it was exported"):
        write_package(out, folder, BUILD)
    (folder / "tables.npz").unlink()
    with pytest.raises(HardwareFileError, match="expected a file of the export"):
        write_package(out, folder, BUILD)
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(HardwareFileError, match="expected an export directory"):
        write_package(out, folder, BUILD)
    with pytest.raises(HardwareFileError, match="max_tokens: expected 4 to 16, got 99"):
        write_package(out, export, BoardBuild("pynq-z2", 99, 100_000))
    with pytest.raises(ParameterError, match="weights: expected beats of 16 bytes"):
        BoardBuild("pynq-z2", 16, 100_000, weights=bytes(17))
    with pytest.raises(ParameterError, match="expected a bitstream"):
        BoardBuild("pynq-z2", 16, 100_000, hwh=b"")
    assert not out.exists()


def test_a_regression_has_one_output(tmp_path: Path) -> None:
    with small_package(tmp_path, random_integer_model(labels=1)) as package:
        assert package.regression and package.sizes.outputs == 1 and package.labels == []
        use(package)


def test_keys_differ_where_tokens_do(tmp_path: Path) -> None:
    rows = [([1, 2], [0, 0]), ([1, 2], [0, 1]), ([2, 1], [0, 0]), ([1], [0]), ([258], [0])]
    assert len({sentence_key(*row) for row in rows}) == len(rows)
    assert sentence_key([1, 2], [0, 1]) == sentence_key(np.array([1, 2]), np.array([0, 1], "u1"))
    assert write_small_package(tmp_path, MODEL).is_file()
