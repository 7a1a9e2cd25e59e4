"""Log-based metrics, alert policies and notification channels of the local Cloud Run: kept, and evaluated."""
