"""Trees that the checks are measured on."""
