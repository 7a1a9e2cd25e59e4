"""The rule event-map."""
