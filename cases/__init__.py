"""The life of a case outside its Workflow: submit, start, roll back, reconcile."""
