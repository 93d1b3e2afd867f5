"""The real system on the virtual arm, faults to inject into it, and clocks on both."""
