"""Bags to a LeRobotDataset: state, action and camera pictures at a fixed rate, one episode per pair of markers."""
