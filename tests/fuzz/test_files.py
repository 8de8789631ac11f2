"""Fuzzed image and array files: each is read, or is one line that names it."""

from __future__ import annotations

import io
import random
import struct
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from frugalmtl.data.encodings import encoding, read_label
from frugalmtl.data.files import read_image
from frugalmtl.data.problems import BadFileError
from frugalmtl.tasks import TASKS
from tests.support.toy_folder import scene, stored

SEED = 11
SCENE = scene(5, (24, 32))
RGB = Image.fromarray(SCENE["image"])
CLASSES = Image.fromarray(SCENE["seg"])
DEPTH = Image.fromarray(stored("depth", SCENE["depth"]))
TURNED = Image.Exif()
TURNED[0x0112] = 6

Save = Callable[[io.BytesIO], object]
SAVES: dict[str, Save] = {
    "png": lambda file: RGB.save(file, "PNG", exif=TURNED),
    "png16": lambda file: DEPTH.save(file, "PNG"),
    "png-palette": lambda file: RGB.convert("P").save(file, "PNG"),
    "jpg": lambda file: RGB.save(file, "JPEG", exif=TURNED),
    "gif": lambda file: RGB.convert("P").save(file, "GIF"),
    "gif-frames": lambda file: RGB.convert("P").save(file, "GIF", save_all=True, append_images=[RGB.convert("P")]),
    "bmp": lambda file: RGB.save(file, "BMP"),
    "tif": lambda file: RGB.save(file, "TIFF", exif=TURNED),
    "tif-packed": lambda file: DEPTH.save(file, "TIFF", compression="tiff_lzw"),
    "webp": lambda file: RGB.save(file, "WEBP", exif=TURNED),
    "ppm": lambda file: RGB.save(file, "PPM"),
    "pgm16": lambda file: DEPTH.save(file, "PPM"),
    "sgi": lambda file: RGB.save(file, "SGI"),
    "tga": lambda file: RGB.save(file, "TGA", compression="tga_rle"),
    "dds": lambda file: RGB.convert("RGBA").save(file, "DDS"),
    "npy": lambda file: np.save(file, SCENE["depth"]),
    "npy-classes": lambda file: np.save(file, SCENE["seg"]),
}
if features.check("avif"):
    SAVES["avif"] = lambda file: RGB.save(file, "AVIF", exif=TURNED)


def whole(form: str) -> bytes:
    file = io.BytesIO()
    SAVES[form](file)
    return file.getvalue()


def flipped(data: bytearray, source: random.Random) -> bytearray:
    for _ in range(source.randint(1, 8)):
        data[source.randrange(len(data))] = source.randrange(256)
    return data


def cut(data: bytearray, source: random.Random) -> bytearray:
    return data[: source.randrange(len(data))]


def damaged_header(data: bytearray, source: random.Random) -> bytearray:
    for _ in range(source.randint(1, 4)):
        data[source.randrange(min(len(data), 128))] = source.choice((0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)))
    return data


def huge_number(data: bytearray, source: random.Random) -> bytearray:
    """Sizes, counts and offsets of most formats are numbers of 16 or 32 bits near the beginning."""
    value = struct.pack(source.choice("<>") + "I", source.choice((2**31 - 1, 2**32 - 1, 65535, 0, 1 << 20)))
    place = source.randrange(max(1, min(len(data), 128) - 4))
    data[place : place + 4] = value
    return data


def doubled(data: bytearray, source: random.Random) -> bytearray:
    place = source.randrange(len(data))
    return data[:place] + data[place // 2 :]


def textual_block(data: bytearray, source: random.Random) -> bytearray:
    """An EXIF block of nonsense after the first marker (of JPEG; damage of another kind to the other formats)."""
    block = b"Exif\0\0" + source.choice((b"II*\0", b"MM\0*", b"XX")) + bytes(source.choices(b"\0\1\2\3abc\x12", k=40))
    return data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:]


def words(data: bytearray, source: random.Random) -> bytearray:
    """Text in place of the header, as an error page of a server or a header of another array."""
    text = source.choice(
        (b"<html>404</html>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"{'descr': '<f8', 'shape': (10000000000,)}", b"\0" * 64)
    )
    return bytearray(text) + data[len(text) :] if source.random() < 0.5 else data[:16] + text + data[16:]


DAMAGES = (flipped, cut, damaged_header, huge_number, doubled, textual_block, words)
TASK_OF_ENCODING = {
    "index": TASKS.build({"name": "segmentation", "classes": ["a", "b", "c"]}),
    "values": TASKS.build("depth"),
    "binary": TASKS.build("saliency"),
    "vectors": TASKS.build("normals"),
}
COLOURS = {"name": "colours", "map": {"#000000": 0, "#ffffff": 1}}
READERS: list[Callable[[Path], object]] = [read_image]
for name, task in TASK_OF_ENCODING.items():
    chosen = encoding(name, task, "{id}")
    READERS.append(lambda file, task=task, chosen=chosen: read_label(file, task, chosen))  # type: ignore[misc]
coloured = TASK_OF_ENCODING["index"]
READERS.append(lambda file: read_label(file, coloured, encoding(COLOURS, coloured, "{id}")))


def outcomes(count: int, folder: Path) -> Counter[str]:
    """Read damaged files in turns of format, damage and reader; anything but a value or one line is raised."""
    source, seen = random.Random(SEED), Counter[str]()
    originals = {form: whole(form) for form in SAVES}
    for number in range(count):
        form = list(SAVES)[number % len(SAVES)]
        damage = source.choice(DAMAGES)
        ending = "npy" if form.startswith("npy") else "img"
        file = folder / f"{number}-{form}-{damage.__name__}.{ending}"
        file.write_bytes(bytes(damage(bytearray(originals[form]), source)))
        for reader in (read_image, source.choice(READERS)):
            line = refusal(reader, file)
            assert line == "" or (file.name in line and "\n" not in line), line
            seen["refused" if line else "read"] += 1
        file.unlink()
    return seen


def refusal(reader: Callable[[Path], object], file: Path) -> str:
    """The line that refuses a file; empty if it is read."""
    try:
        reader(file)
    except BadFileError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("form", SAVES)
def test_whole_files_are_read(form: str, tmp_path: Path) -> None:
    file = tmp_path / f"whole.{'npy' if form.startswith('npy') else 'img'}"
    file.write_bytes(whole(form))
    if form.startswith("npy"):
        task = TASK_OF_ENCODING["index" if form == "npy-classes" else "values"]
        label = read_label(file, task, encoding(None, task, "{id}.npy"))
        assert np.array_equal(label.numpy().reshape(24, 32), SCENE["seg" if form == "npy-classes" else "depth"])
        return
    assert sorted(read_image(file).shape) == [3, 24, 32]


def test_damaged_files_are_read_or_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = outcomes(60, tmp_path)
    assert seen["read"] > 5
    assert seen["refused"] > 20
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_a_thousand_damaged_files(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = outcomes(1000, tmp_path)
    assert seen["read"] > 100
    assert seen["refused"] > 500
