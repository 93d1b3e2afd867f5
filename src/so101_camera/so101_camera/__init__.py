"""Cameras that stream to people and answer each observation request with their newest frame."""
