"""Publishing, with and without transactions."""
