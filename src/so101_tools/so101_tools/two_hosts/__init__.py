"""Two computers and the network between them on one Linux machine: two network namespaces and a shaped wire (root)."""
