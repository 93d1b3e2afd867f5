"""`./so101 bench`: our nodes and LeRobot's own asynchronous inference on the same work, turn about, in figures."""
