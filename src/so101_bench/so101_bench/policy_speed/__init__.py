# SPDX-License-Identifier: Apache-2.0
"""`./so101 bench policy`: one policy as LeRobot runs it and with what the server's `optimize` keeps."""
