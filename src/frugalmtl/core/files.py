"""Files: written whole or not at all, read as text whichever editor saved them."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from frugalmtl.core.checks import UserError, shown
from frugalmtl.core.disk.flushing import flush_file

LONGEST = 1_000_000_000
"""Bytes of a text file."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark begins it
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, and the encoding that each of them stands for."""
_SIGNATURES = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"%PDF-", "a PDF"),
    (b"PK\3\4", "a zip archive (.xlsx, .npz and .pt files are such archives)"),
    (b"\x1f\x8b", "a gzip archive"),
)
"""Beginnings of files that are no texts."""
_EVIDENT = 0.6
"""Share of zero bytes at even (or odd) places from which a text without a mark is read as UTF-16; in UTF-8 there are
none at all."""


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it is flushed and renamed to ``path``, on failure removed.

    A reader therefore sees the old file or the whole new one, also after a crash or on a full disk.

    Raises:
        UserError: the operating system refused to write (no space, no permission, no such folder).
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(target)
        temporary.open("xb").close()
        yield temporary
        flush_file(temporary)
        temporary.replace(target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {_reason(error)}. Nothing was changed there.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    """Why a file could not be written, and what to do."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file lies where a folder has to be: choose another folder"
    remedy = "free the space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another folder"
    return f"{error.strerror or error}: {remedy}"


def temporary_beside(target: Path) -> Path:
    """A name for what will be renamed to ``target``; nothing is made.

    Whoever makes the file or folder gets the permissions that the user's umask leaves, as for any other.
    """
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: str | os.PathLike[str], what: str, *, limit: int = LONGEST) -> str:
    """Read a text file: UTF-8, or UTF-16 and UTF-32 where a mark or the zero bytes show it.

    A byte order mark is left out, and lines end with ``\\n``.

    Args:
        path: the file.
        what: what it is, in messages.
        limit: bytes that it may have; no more are read, whatever the file is.

    Raises:
        UserError: the file is missing, unreadable, larger, or neither of these.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist: check the path") from None
    except IsADirectoryError:
        inner = sorted(str(one) for one in Path(path).glob("*.yaml"))[:3]
        files = f" ({', '.join(inner)})" if inner else ""
        raise UserError(f"{what} {path} is a folder: expected a file{files}") from None
    except OSError as error:
        raise UserError(f"cannot read {what} {path}: {error.strerror or error}") from error
    except ValueError as error:  # a path with a zero byte
        raise UserError(f"cannot read {what} {shown(str(path))}: {error}") from None
    if len(data) > limit:
        raise UserError(f"{what} {path} is larger than {limit / 1e6:g} MB: it is not the file that is meant")
    return decode_text(data, f"{what} {path}")


def decode_text(data: bytes, name: str) -> str:
    """The text of the bytes of a file, which messages call ``name``.

    Raises:
        UserError: the bytes are no text in UTF-8, UTF-16 or UTF-32, or evidently an image, an archive or the like.
    """
    kind = next((kind for start, kind in _SIGNATURES if data.startswith(start)), None)
    if kind is not None:
        raise UserError(f"{name} is {kind}, not a text file: check that the right file is named")
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", ""))
    content = data[len(mark) :]
    encoding = encoding or _unmarked(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(_complaint(content, error, name)) from None
    if "\0" in text:
        raise UserError(f"{name} holds zero bytes, as no text does: expected a text file, saved as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unmarked(content: bytes) -> str:
    """The encoding of a text without a mark."""
    start = content[:4096]
    pairs = max(1, len(start) // 2)
    if start[1::2].count(0) / pairs >= _EVIDENT and not start[::2].count(0):
        return "utf-16-le"
    if start[::2].count(0) / pairs >= _EVIDENT and not start[1::2].count(0):
        return "utf-16-be"
    return "utf-8"


def _complaint(content: bytes, error: UnicodeDecodeError, name: str) -> str:
    if b"\0" in content and error.encoding == "utf-8":
        return f"{name} is not a text file (it holds zero bytes): check that the right file is named"
    if error.encoding != "utf-8":
        return f"{name} begins as {error.encoding.upper()} and is not whole: save it as UTF-8"
    line = content[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
    return (
        f"{name} is not UTF-8: line {line} holds the byte 0x{content[error.start]:02x}; save it as UTF-8 "
        "(editors and spreadsheets offer it under 'save as')"
    )
