"""Store files from people, complete or not at all. Make the names of files safe, and find the type of a file from its
bytes.
"""

import os
import tempfile
from pathlib import Path, PurePath


class Unacceptable(ValueError):
    """Raised for a file whose type Holdgate does not accept. The message names the accepted types."""


def base_name(filename: str, otherwise: str) -> str:
    """Return the name without folders, which some browsers send, and without control characters.

    The result has at most 255 characters; if nothing is left of the name, it is `otherwise`.
    """
    name = PurePath(filename.replace("\\", "/")).name
    return "".join(char for char in name if char.isprintable())[:255] or otherwise


def keep(folder: Path, name: str, data: bytes) -> None:
    """Write `data` to the file `name` in the folder, completely or not at all. Replace an earlier file of this name."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".upload-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(folder / name)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    # The file's name is only durable when its folder is synced.
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def keep_missing(folder: Path, name: str, data: bytes) -> None:
    """Write `data` like `keep`, if there is no file with this name."""
    if not (folder / name).exists():
        keep(folder, name, data)


_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_OFFICE = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
}
_TEXT = {".txt": "text/plain", ".csv": "text/csv", ".md": "text/plain", ".log": "text/plain"}
TAKEN = "PDF, PNG, JPEG, GIF, WebP, text, CSV, DOCX, XLSX, ODT and ODS"


def content_type(filename: str, data: bytes) -> str:
    """Return the media type of a file, such as `application/pdf`, from its bytes.

    The name decides only which kind of ZIP or text file the file is.

    Raises Unacceptable for types that a browser might run, and for any other type that is not accepted.
    """
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    suffix = PurePath(filename).suffix.lower()
    if data.startswith(b"PK\x03\x04") and suffix in _OFFICE:
        return _OFFICE[suffix]
    if suffix in _TEXT:
        if b"\0" in data:
            raise Unacceptable(f"'{filename}' contains a NUL character, so it is not text. Allowed types: {TAKEN}.")
        try:
            data.decode()
        except UnicodeDecodeError:
            raise Unacceptable(f"'{filename}' is not UTF-8 text. Allowed types: {TAKEN}.") from None
        return _TEXT[suffix]
    raise Unacceptable(f"'{filename}' has a content type that is not allowed. Allowed types: {TAKEN}.")
