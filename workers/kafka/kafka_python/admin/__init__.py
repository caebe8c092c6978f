"""Looking at and changing topics and groups."""
