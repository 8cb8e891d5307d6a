"""How work comes in: bytes to typed rows, rows to cases. The one room where a case begins."""
