"""My process: the PROCESS that Holdgate loads from this folder of HOLDGATE_PROCESSES."""

from collections.abc import Sequence
from pathlib import Path

from temporalio import workflow

from plugins import Process

# The sandbox of Workflows loads this file again for each case, but not the modules below.
with workflow.unsafe.imports_passed_through():
    from .activities import Book, MyProcessRequest, MyProcessSteps
from .process import MyProcessProcess


def equip(folder: Path) -> Sequence[object]:
    """Make the objects whose methods run the steps. `folder` is a folder for the files of this process."""
    return [MyProcessSteps(Book(folder))]


PROCESS = Process(
    name="my_process",
    workflow=MyProcessProcess,
    input=MyProcessRequest,
    example={
        "reference": "R-1001",
        "purpose": "Train to Leeds and back",
        "amount": "184.50",
        "needed_by": "2031-03-17",
    },
    equip=equip,
)
