"""What a person reads of a rollout: values first, rendering last.

``document.build`` puts record, journal and logs together; ``render`` makes Markdown and HTML of it, the only module here
that opens files (its own templates).
"""
