"""The rule single-source."""
