"""Checks that need only the source: what would break conversations is found before anything is deployed."""
