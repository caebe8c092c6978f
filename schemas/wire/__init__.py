"""The contracts of what is on the wire."""
