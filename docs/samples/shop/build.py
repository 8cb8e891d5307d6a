"""Pack the two releases of the shop: `python docs/samples/shop/build.py [FOLDER]`, by default into docs/samples/files.

The same sources give the same bytes: names are sorted, and times, owners and modes are fixed. `second/` holds what is
different in the second release.
"""

import gzip
import hashlib
import io
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIXED = 1_767_225_600
"""The time of every file in an artefact: 2026-01-01 00:00 UTC."""


def contents(*folders: str) -> dict[str, bytes]:
    """Return the files of a release by their names. Files of a later folder replace files with the same name."""
    first = [HERE / name for name in ("VERSION", "app.py", "goods.json", "test_app.py")]
    found = {path.name: path.read_bytes() for path in first}
    found |= {f"templates/{path.name}": path.read_bytes() for path in (HERE / "templates").glob("*.html")}
    for folder in folders:
        below = HERE / folder
        found |= {path.relative_to(below).as_posix(): path.read_bytes() for path in below.rglob("*") if path.is_file()}
    return found


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return a tar.gz of these files, with the same bytes for the same files.

    The files are stored without compression, because compressed bytes depend on the version of zlib.
    """
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(files[name]), FIXED, 0o644
            tar.addfile(member, io.BytesIO(files[name]))
    made = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=made, mode="wb", compresslevel=0, mtime=FIXED) as file:
        file.write(raw.getvalue())
    return made.getvalue()


def write(folder: Path, name: str, files: Mapping[str, bytes]) -> str:
    """Write an artefact, and its SHA-256 into a file beside the artefact as sha256sum does. Return the SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    data = packed(files)
    digest = hashlib.sha256(data).hexdigest()
    (folder / f"{name}.tar.gz").write_bytes(data)
    (folder / f"{name}.tar.gz.sha256").write_text(f"{digest}  {name}.tar.gz\n", encoding="utf-8")
    return digest


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "files"
    write(target, "shop", contents())
    write(target, "shop-2", contents("second"))
