# SPDX-License-Identifier: Apache-2.0
"""`./so101 cameras`: which cameras there are, what each delivers, and an image of each to tell them apart."""
