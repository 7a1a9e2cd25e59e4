"""The code under check: which files there are, what they say, what their names mean."""
