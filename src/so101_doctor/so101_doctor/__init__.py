# SPDX-License-Identifier: Apache-2.0
"""`./so101 doctor`: checks robot, server and network, one line each, with a remedy for what is not right."""
