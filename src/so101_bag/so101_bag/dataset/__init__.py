# SPDX-License-Identifier: Apache-2.0
"""Bags to a LeRobotDataset: state, action and camera images at a fixed rate, one episode per pair of markers."""
