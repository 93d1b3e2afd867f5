# SPDX-License-Identifier: Apache-2.0
"""Errors of the virtual arm that a user can cause; each message is one line and says what to do."""


class SimulationError(Exception):
    """Base of all of them."""


class SceneError(SimulationError):
    """The arm's model cannot be found, read or cached."""


class GraphicsError(SimulationError):
    """No GL library renders without a screen."""


class TaskError(SimulationError):
    """A task of that name does not exist, or does not fit the scene."""


class OutOfReachError(SimulationError):
    """The expert cannot grasp the cube where it lies."""


class ArrayShapeError(SimulationError, ValueError):
    """An array has another shape than its neighbours; the message has both shapes."""
