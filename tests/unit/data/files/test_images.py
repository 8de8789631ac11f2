"""The one reader of images: kinds of pixels, orientations, and what is refused."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frugalmtl.data.files import decoding, images, read_image, read_pixels
from frugalmtl.data.files.decoding import orientation_of
from frugalmtl.data.problems import BadFileError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def saved(path: Path, values: np.ndarray, **options: object) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


def block(order: str, kind: int, count: int, value: int) -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHIHxx", 0x0112, kind, count, value)
    return b"Exif\0\0" + head + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
def test_one_short_number_is_an_orientation(order: str) -> None:
    assert [orientation_of(block(order, 3, 1, value)) for value in range(1, 9)] == list(range(1, 9))
    assert orientation_of(block(order, 3, 1, 6).removeprefix(b"Exif\0\0")) == 6


@pytest.mark.parametrize(
    "damaged", [block("<", 2, 1, 6), block("<", 3, 2, 6), block("<", 3, 1, 9), block(">", 3, 1, 0)]
)
def test_a_block_that_says_nothing_sensible_is_read_over(damaged: bytes) -> None:
    assert orientation_of(damaged) == 1


def test_a_block_that_is_cut_or_no_block_is_read_over() -> None:
    whole = block("<", 3, 1, 6)
    assert {orientation_of(whole[:length]) for length in range(len(whole) - 6)} == {1}
    assert orientation_of(None) == 1
    assert orientation_of(b"Exif\0\0" + bytes(40)) == 1


def test_the_orientation_of_a_tiff_is_part_of_its_format(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = saved(tmp_path / "a.tif", PIXELS, exif=exif)
    for rule in ("apply", "ignore"):
        assert np.array_equal(read_pixels(file, rule), np.rot90(PIXELS, -1))


def test_16_bits_keep_their_high_byte_in_grey_and_colour(tmp_path: Path) -> None:
    grey = np.arange(0, 65536, 1311, dtype=np.uint16)[None]
    for ending in ("png", "tif", "pgm"):
        pixels = read_pixels(saved(tmp_path / f"a.{ending}", grey))
        assert np.array_equal(pixels, np.repeat(grey[..., None] // 256, 3, axis=-1))


def test_transparency_is_dropped(tmp_path: Path) -> None:
    clear = np.concatenate([PIXELS, np.zeros((5, 7, 1), np.uint8)], axis=-1)
    assert np.array_equal(read_pixels(saved(tmp_path / "a.png", clear)), PIXELS)


def test_tensors_have_channels_first(tmp_path: Path) -> None:
    image = read_image(saved(tmp_path / "a.png", PIXELS))
    assert image.is_contiguous()
    assert np.array_equal(image.permute(1, 2, 0).numpy(), PIXELS)


def test_the_first_frame_is_read_and_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_said", set())
    first, second = (Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (50, 200))
    for name in ("a.gif", "b.tif"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
    with pytest.warns(UserWarning, match=r"a[.]gif holds several frames or pages: the first is read") as said:
        pixels = [read_pixels(tmp_path / name) for name in ("a.gif", "b.tif")]
    assert len(said) == 1
    assert all((frame == 50).all() for frame in pixels)


def test_an_image_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 34)
    with pytest.raises(BadFileError, match="too large to be decoded"):
        read_pixels(saved(tmp_path / "a.png", PIXELS))


def test_a_header_that_claims_a_huge_image_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.bmp", PIXELS)
    data = bytearray(file.read_bytes())
    data[18:26] = struct.pack("<ii", 1_000_000, 1_000_000)
    file.write_bytes(data)
    with pytest.raises(BadFileError, match="too large to be decoded; expected at most 179 million pixels"):
        read_pixels(file)


def test_formats_that_start_another_program_are_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    from PIL import EpsImagePlugin

    def run(*_: object) -> None:
        (tmp_path / "executed").touch()

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(BadFileError, match="is not an image"):
        read_pixels(file)
    assert not (tmp_path / "executed").exists()


def test_any_exception_of_a_decoder_is_the_files_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OddError(Exception):
        pass

    def load(_: object) -> None:
        raise OddError("two\nlines")

    file = saved(tmp_path / "a.png", PIXELS)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(BadFileError, match=r"a[.]png: cannot be read \(two lines\)"):
        read_pixels(file)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_the_machines_and_the_users_exceptions_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def load(_: object) -> None:
        raise error

    file = saved(tmp_path / "a.png", PIXELS)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(error):
        read_pixels(file)


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadFileError, match="is a folder or a device"):
        read_pixels(tmp_path / "pipe.png")


def test_a_name_that_is_no_text_is_shown_escaped(tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    with pytest.raises(BadFileError) as caught:
        read_pixels(file)
    assert "\\udcff.png" in str(caught.value).encode("utf-8").decode()
