# SPDX-License-Identifier: Apache-2.0
"""Between the core and a policy: threads, decoding, and the libraries that policies come from."""
