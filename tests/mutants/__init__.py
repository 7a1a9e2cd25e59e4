"""Planted bugs: small slips as data, and the runner that shows that a test finds each.  ``make mutants``."""
