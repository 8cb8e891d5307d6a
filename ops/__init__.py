"""Operations: start all programs (`up`), keep them running (`supervisor`), prepare Temporal (`bootstrap`), the demo."""
