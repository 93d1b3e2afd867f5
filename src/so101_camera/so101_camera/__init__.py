# SPDX-License-Identifier: Apache-2.0
"""Cameras that stream to people and answer each observation request with their newest frame."""
