"""Autoencoders that learn what normal looks like, and the pure function that scores against it."""
