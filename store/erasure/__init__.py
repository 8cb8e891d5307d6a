"""Erase the content of a case or of an upload, and prove in the audit log what was erased.

- `cases`: `erase_case`, in the caller's transaction.
- `uploads`: `erase_upload`, with all cases of the upload.
- `columns`: the class of every column of the database: what is erased with what.
- `receivers`: what the receivers of each process erase; plugins register their own.
- `proof`: content of events and seals, and the event `erased`.
- `files`: files to delete after the commit, also after a crash.
- `database`: the database with the rights to erase, and the clean-up of SQLite's files.
"""

from store.erasure.cases import check_case as check_case, erase_case as erase_case
from store.erasure.result import Erased as Erased, NotErasable as NotErasable, Why as Why
from store.erasure.uploads import check_upload as check_upload, erase_upload as erase_upload
