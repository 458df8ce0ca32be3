"""Troubles on record, whoever finds them, and who hears of them."""
