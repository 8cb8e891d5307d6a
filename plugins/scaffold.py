"""Create a process from the template, with the new name in each spelling: `my_process`, `MyProcess`, `my-process`."""

import shutil
import tempfile
from pathlib import Path

from plugins.errors import WrongProcess
from plugins.loader import wrong_name

TEMPLATE = Path(__file__).parent / "template" / "my_process"


def make(name: str, into: Path) -> Path:
    """Write a working process with this name into the folder `into`, and return the folder of the process.

    Raises WrongProcess before anything is written, or if `into` cannot be written.
    """
    if unfit := wrong_name(name):
        raise WrongProcess(unfit)
    folder = into / name
    if (into / "__init__.py").exists():
        raise WrongProcess(f"{into} is a process itself; name the folder around it")
    if folder.exists():
        raise WrongProcess(f"{folder} exists already, and nothing was written: choose another name")
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into, prefix=".new-") as made:
            for file in sorted(TEMPLATE.iterdir()):
                if file.is_file():
                    (Path(made) / named(file.name, name)).write_text(named(file.read_text(), name), encoding="utf-8")
            shutil.copytree(made, folder)
    except OSError as wrong:
        raise WrongProcess(f"{into} cannot be written: {wrong.strerror}") from wrong
    return folder


def named(text: str, name: str) -> str:
    """Return a text of the template in which the name of the template is replaced with `name` in each spelling."""
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
