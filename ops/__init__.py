"""Operations: start everything (`up`), keep it running (`supervisor`), prepare Temporal (`bootstrap`) and the demo."""
