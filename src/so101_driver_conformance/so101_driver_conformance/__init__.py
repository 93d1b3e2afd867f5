# SPDX-License-Identifier: Apache-2.0
"""The contract of a driver as named rules, and the suite that checks them on a driver it starts."""
