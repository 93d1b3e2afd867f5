# SPDX-License-Identifier: Apache-2.0
"""Replaying a bag: its decision log through the queue, its observations through a policy, its commands on an arm."""
