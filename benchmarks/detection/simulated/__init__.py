"""Simulated series: no files needed, every fault known, the same for the same seed."""
