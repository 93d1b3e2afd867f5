# SPDX-License-Identifier: Apache-2.0
"""What keeps the doctor from looking; each message is one line. What it finds is a Check, never an error."""


class DoctorError(Exception):
    """Root of all of them."""


class DeploymentError(DoctorError, ValueError):
    """A deployment's file cannot be used."""


class CallError(DoctorError, RuntimeError):
    """The service cannot be called, or does not answer. The message is one line for people."""
