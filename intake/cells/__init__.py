"""Parsing of cells: amounts, currencies, dates, lists."""
