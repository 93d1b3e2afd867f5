"""Demo, observer, launch runner and policy tools of the SO-101 remote-policy workspace."""
