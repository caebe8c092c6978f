"""A simulated plant with labelled faults."""
