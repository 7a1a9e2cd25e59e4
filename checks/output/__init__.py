"""A report for whoever reads it: people, CI, code scanning."""
