"""Every set that the benchmark knows, by name."""
