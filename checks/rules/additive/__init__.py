"""The rule additive."""
