# SPDX-License-Identifier: Apache-2.0
"""`./so101 demo --link`: the policy server on the far side of one forwarded TCP port."""
