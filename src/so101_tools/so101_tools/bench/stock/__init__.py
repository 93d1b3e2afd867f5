"""LeRobot's stock PolicyServer and RobotClient, started as they are, with notes taken of when they do what."""
