# SPDX-License-Identifier: Apache-2.0
"""`./so101 tune`: which chunk size and threshold a delay wants, tried out in virtual time."""
