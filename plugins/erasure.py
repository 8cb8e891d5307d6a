"""For processes of your own: erase what your steps have stored of a case when the case is erased."""

from store.erasure.erasing import Erasing
from store.erasure.receivers import Eraser, on_erasure

__all__ = ["Eraser", "Erasing", "on_erasure"]
