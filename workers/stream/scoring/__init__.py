"""Calls to scorers: where they run, what they carry, and what to do when one fails."""
