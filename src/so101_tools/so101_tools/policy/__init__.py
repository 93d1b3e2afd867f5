"""Making the demo policy from nothing: demonstrations of the scripted expert, ACT training, and a quick evaluation.

This subpackage imports LeRobot and torch, and MuJoCo; nothing that runs on the robot imports it.
"""
