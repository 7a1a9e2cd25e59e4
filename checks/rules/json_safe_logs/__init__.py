"""The rule json-safe-logs."""
