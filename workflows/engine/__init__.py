"""The engine of a case: one state (`state.py`), and a collaborator for each concern that works on it.

A process subclasses `CaseWorkflow` (`case.py`). Its message handlers are in `message_handlers.py` and delegate to
`messages.py`; steps run in `steps.py`, gates in `gates.py`, people are waited for in `human_tasks.py`, and undos run in
`compensation.py`.
"""
