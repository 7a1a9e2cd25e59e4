"""A small Cloud Scheduler: jobs of the local Cloud Run, started by the clock."""
