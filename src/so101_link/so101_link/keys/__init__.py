# SPDX-License-Identifier: Apache-2.0
"""Keys of the link: one authority signs the certificate of the server and that of each robot."""
