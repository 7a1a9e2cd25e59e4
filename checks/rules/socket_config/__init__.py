"""The rule socket-config."""
