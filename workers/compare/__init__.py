"""Autoencoders against principal components, on the readings of a user."""
