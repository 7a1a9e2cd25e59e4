"""What the source of a WebSocket service says of itself: its routes, the messages that it takes and those that it sends."""
