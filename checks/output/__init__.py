"""A report in the form that people, CI and code scanning read."""
