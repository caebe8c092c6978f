"""A larger set of windows out of files."""
