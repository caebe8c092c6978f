"""The stream, from poll to commit."""
