# SPDX-License-Identifier: Apache-2.0
"""The program configure_servos: shows and writes settings of servos."""
