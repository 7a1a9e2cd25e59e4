"""What ``spillway init`` writes into a repository, and what it saw there."""
