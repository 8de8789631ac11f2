"""Images that grow when they are decoded, and formats that hand their content to other programs."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.data.files.decoding import decoded
from frugalmtl.data.problems import BadFileError
from tests.attacks.payloads import harmless, refused


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG that claims a size; the pixels may be few."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


POSTSCRIPT = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n({canary}) (w) file closefile\nshowpage\n"
IMAGES = {
    "gigapixels": png(60_000, 60_000),
    "most that the format can say": png(2**31 - 1, 2**31 - 1),
    "no pixels": png(0, 0),
    "fewer pixels than said": png(4000, 4000, b"\0" * 100),
    "bmp of gigapixels": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "ppm of gigapixels": b"P6 60000 60000 255\n" + b"\0" * 100,
    "gif of gigapixels": b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b";",
    "empty": b"",
}


@pytest.mark.parametrize("kind", IMAGES)
def test_bombs(kind: str, tmp_path: Path, canary: Path) -> None:
    (tmp_path / "photo.png").write_bytes(IMAGES[kind])
    with harmless(canary), pytest.raises(BadFileError, match=r"photo\.png"):
        decoded(tmp_path / "photo.png", lambda picture: picture.size)


@pytest.mark.parametrize("kind", IMAGES)
def test_photographs_to_predict(kind: str, tmp_path: Path, run: Path, canary: Path, capsys: Any) -> None:
    (tmp_path / "photo.png").write_bytes(IMAGES[kind])
    assert "photo.png" in refused(capsys, ["predict", str(run), str(tmp_path / "photo.png")], canary)


@pytest.mark.parametrize("suffix", [".png", ".eps", ".jpg"])
def test_postscript_is_given_to_no_interpreter(suffix: str, tmp_path: Path, canary: Path) -> None:
    file = tmp_path / f"photo{suffix}"
    file.write_text(POSTSCRIPT.format(canary=canary), encoding="utf-8")
    with harmless(canary), pytest.raises(BadFileError):
        decoded(file, lambda picture: picture.size)
