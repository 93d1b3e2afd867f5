"""Our own nodes, started from the launch files that a user starts, and the node that takes notes."""
