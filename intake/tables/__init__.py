"""Tables of text from files: CSV in any encoding, and sheets of Excel workbooks."""
