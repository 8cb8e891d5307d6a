"""A new process: the skeleton, with the new name in the place of its own."""

import shutil
import tempfile
from pathlib import Path

import own

SKELETON = Path(__file__).parent / "skeleton" / "my_process"


def make(name: str, into: Path) -> Path:
    """Write a process that works to `into`; answers its folder. Raises WrongProcess, and nothing is written then."""
    if unfit := own.wrong_name(name):
        raise own.WrongProcess(unfit)
    folder = into / name
    if (into / "__init__.py").exists():
        raise own.WrongProcess(f"{into} is a process itself; name the folder around it")
    if folder.exists():
        raise own.WrongProcess(f"{folder} is there already, and nothing was written: take another name")
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into, prefix=".new-") as made:
            for file in sorted(SKELETON.iterdir()):
                if file.is_file():
                    (Path(made) / named(file.name, name)).write_text(named(file.read_text(), name), encoding="utf-8")
            shutil.copytree(made, folder)
    except OSError as wrong:
        raise own.WrongProcess(f"{into} cannot be written: {wrong.strerror}") from wrong
    return folder


def named(text: str, name: str) -> str:
    """A text of the skeleton with another name in all its spellings."""
    words = name.replace("_", " ")
    spellings = {
        "my_process": name,
        "MyProcess": "".join(word.capitalize() for word in name.split("_")),
        "my process": words,
        "My process": words.capitalize(),
        "my processes": f"{words}s",
    }
    for old in sorted(spellings, key=len, reverse=True):
        text = text.replace(old, spellings[old])
    return text
