"""Zip archives as PyTorch writes them: members stored as they are, so that none grows when it is read."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO

from frugalmtl.core.checks import UserError

_START = b"PK\3\4"


def require_stored(file: BinaryIO, name: str | Path) -> None:
    """Refuse an archive with a compressed member: a megabyte of it may become a terabyte of zeros.

    What is no archive at all, or a broken one, is left to its reader.

    Args:
        file: the open file; it is at its beginning afterwards.
        name: of the file, in the message.

    Raises:
        UserError: a member is compressed, or states more bytes than the whole file has.
    """
    start = file.read(len(_START))
    size = file.seek(0, 2)
    try:
        members = zipfile.ZipFile(file).infolist() if start == _START else []
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        members = []
    file.seek(0)
    if any(member.compress_type != zipfile.ZIP_STORED or member.file_size > size for member in members):
        raise UserError(f"{name} is compressed, which files of tensors are not: save it again with torch.save")
