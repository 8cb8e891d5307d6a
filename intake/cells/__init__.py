"""Texts of cells to values: amounts, currencies, dates, lists."""
