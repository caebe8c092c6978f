"""Readings in files and in stretches of a topic."""
