"""Files to tables of text: CSV in any encoding, and sheets of Excel workbooks."""
