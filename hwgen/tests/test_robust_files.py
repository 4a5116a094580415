"""What files that mean harm, full disks and interrupts do: one line, and nothing that is half written."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hwgen import cli, commands, doctor
from hwgen.errors import ConfigError, InputError
from hwgen.inputs import MOST_BYTES, random_tensors, read_tensors
from hwgen.params import Params
from hwgen.presets import preset
from hwgen.tests.fakes import empty_verilog
from hwgen.writing import replacing, write_text
from hwgen.yaml_tree import parse

TINY = Params(preset("tiny"))


def header(shape: tuple[int, ...], kind: str = "<f2") -> bytes:
    """The head of an .npy file, whatever comes behind it."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Of what was said; before it may stand that something takes long."""
    return capsys.readouterr().err.splitlines()[-1]


GOOD = header((1, 1, 2, 8)) + bytes(32)
HOSTILE = {
    "terabytes": (header((1 << 20, 1 << 10, 1 << 10, 8)), f"more than {MOST_BYTES} bytes"),
    "negative": (header((-1, 1, 2, 8)), f"more than {MOST_BYTES} bytes"),
    "overflow": (header((1 << 62, 1 << 62, 8, 8)), f"more than {MOST_BYTES} bytes"),
    "nothing times much": (header((0, 1 << 62, 1 << 62, 8)), f"more than {MOST_BYTES} bytes"),
    "wide": (header((1, 1, 2, 4096)) + bytes(1 << 14), "head dimension"),
    "short": (header((1, 1, 2, 8)) + bytes(3), "expected 32 bytes got 3"),
    "long header": (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, "may not be safe"),
    "deep header": (b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10000, "not a readable npz file"),
    "code in the header": (b"\x93NUMPY\x01\x00\x20\x00" + b"__import__('os').abort()".ljust(32), "not a readable npz"),
    "object": (header((1,), "|O") + b"cos\nabort\n(tR.", "allow_pickle=False"),
    "other version": (b"\x93NUMPY\x09\x00", "version"),
    "no array": (b"hello", "not a readable npz file"),
    "empty": (b"", "not a readable npz file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arrays(tmp_path: Path, name: str) -> None:
    content, message = HOSTILE[name]
    with zipfile.ZipFile(tmp_path / "in.npz", "w", zipfile.ZIP_DEFLATED) as file:
        for array, data in {"q": content, "k": GOOD, "v": GOOD}.items():
            file.writestr(f"{array}.npy", data)
    with pytest.raises(InputError) as caught:
        read_tensors(tmp_path / "in.npz", TINY)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Megabytes of zeros in kilobytes: the header alone is read."""
    with zipfile.ZipFile(tmp_path / "in.npz", "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("q.npy", "w") as stream:
            stream.write(header((1, 1, MOST_BYTES, 1)) + bytes(1 << 24))
        file.writestr("k.npy", GOOD)
        file.writestr("v.npy", GOOD)
    read = zipfile.ZipExtFile.read
    taken = []

    def counted(stream: zipfile.ZipExtFile, n: int = -1) -> bytes:
        data = read(stream, n)
        taken.append(len(data))
        return data

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    with pytest.raises(InputError, match="more than"):
        read_tensors(tmp_path / "in.npz", TINY)
    assert sum(taken) < 1 << 12


@pytest.mark.parametrize(
    "text",
    ["[" * 20000, "{a: " * 3000 + "1" + "}" * 3000, "a: \0", b"\xff\xfe\x00", b"a: \xe9", "a: 1\n---\nb: 2", "%", ""],
)
def test_yaml_that_is_none(text: str | bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.yaml")
    assert str(caught.value).startswith("x.yaml") and "\n" not in str(caught.value)


def test_yaml_makes_no_objects_and_laughs_once() -> None:
    tagged = parse('a: !!python/object/apply:os.abort ["x"]', "x.yaml")
    ((_, value),) = tagged.pairs()
    assert [entry.text() for entry in value.items()] == ["x"]
    pairs = zip("abcdefgh", "bcdefghi", strict=True)
    laughs = "\n".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in pairs)
    assert len(parse(f"a: &a [x]\n{laughs}", "x.yaml").pairs()) == 9
    with pytest.raises(ConfigError, match="whole number"):
        parse("9" * 5000, "x.yaml").whole()


@pytest.mark.parametrize(
    "word", ["rows_e=" + "9" * 5000, "rows_e=-1", "slots=0", "in_format=../../etc", "__class__=1", "bus_bits=127", "="]
)
def test_hostile_configurations(tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert cli.main(["generate", "--preset", "tiny", "-o", str(tmp_path / "out"), "--set", word]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
def test_what_fails_leaves_what_was_there(tmp_path: Path, failure: type[BaseException]) -> None:
    file = tmp_path / "new" / "été.svg"
    write_text(file, "before")
    with pytest.raises(failure), replacing(file) as part:
        assert part.suffix == ".svg" and part.parent == file.parent
        part.write_text("half")
        raise failure
    assert [path.name for path in file.parent.iterdir()] == ["été.svg"] and file.read_text() == "before"


def test_a_full_disk_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/dev/full` takes nothing; so does a disk that is full."""

    def full(path: Path, text: str, encoding: str) -> None:
        with open("/dev/full", "w") as stream:
            stream.write(text)

    monkeypatch.setattr(doctor, "require", lambda *names: None)
    monkeypatch.setattr(commands, "to_verilog", empty_verilog)
    monkeypatch.setattr(Path, "write_text", full)
    assert cli.main(["generate", "--preset", "tiny", "-o", str(tmp_path)]) == 2
    assert last_line(capsys) == "hwgen: No space left on device"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["/proc/hwgen", "/dev/null/hwgen"])
def test_a_folder_that_cannot_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr(doctor, "require", lambda *names: None)
    monkeypatch.setattr(commands, "to_verilog", empty_verilog)
    assert cli.main(["generate", "--preset", "tiny", "-o", folder]) == 2
    assert last_line(capsys).startswith(f"hwgen: {folder}")


def test_letters_of_any_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "require", lambda *names: None)
    monkeypatch.setattr(commands, "to_verilog", empty_verilog)
    folder = tmp_path / "вывод 出力 é"
    assert cli.main(["generate", "--preset", "tiny", "-o", str(folder)]) == 0
    assert (folder / "tiny.v").exists() and str(folder) in capsys.readouterr().out


def test_too_little_memory_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: object) -> int:
        raise MemoryError

    monkeypatch.setattr(commands, "presets", greedy)
    assert cli.main(["presets"]) == 2
    assert capsys.readouterr().err == "hwgen: not enough memory\n"


@pytest.mark.parametrize("shape", [(1, 1, 1 << 40, 1), (1, 1, 1, 1 << 40), (1 << 16, 1 << 16, 1 << 16, 1 << 16)])
def test_random_tensors_that_cannot_be(shape: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="numbers are more than"):
        random_tensors(shape, 1, TINY)
