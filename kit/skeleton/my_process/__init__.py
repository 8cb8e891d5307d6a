"""My process, for HOLDGATE_PROCESSES: what Holdgate finds when it loads this folder."""

from collections.abc import Sequence
from pathlib import Path

from temporalio import workflow

# The sandbox of a case loads this file too, and these not.
with workflow.unsafe.imports_passed_through():
    from workflows.registry import Process

    from .activities import Book, MyProcessRequest, MyProcessSteps
from .process import MyProcessProcess


def equip(folder: Path) -> Sequence[object]:
    """What carries out the steps, with the receiver of their effects. `folder` is for files of this process."""
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
