"""Kills of the gateway, its database and its broker; everybody has to be told all the same."""
