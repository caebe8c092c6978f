"""A notification in the forms that receivers read. Pure."""
