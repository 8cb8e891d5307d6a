"""Workflows: deterministic code without I/O, settings, wall clock or expression language.

Each file is one process that people can request, and `registry.py` lists these processes. Three files are no processes:
`batch.py` starts the cases of an uploaded file, `rollback.py` undoes a case whose own Workflow has ended, and
`sandbox.py` is the sandbox in which Workflows run. `engine/` has the base class of the processes.
"""
