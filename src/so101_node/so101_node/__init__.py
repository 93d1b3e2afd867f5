"""How every node of this workspace declares parameters, chooses QoS, starts and stops."""
