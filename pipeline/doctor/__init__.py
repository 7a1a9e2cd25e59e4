"""What ``spillway doctor`` asks of this machine, of the project and of the service."""
