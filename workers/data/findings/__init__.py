"""What looks wrong with readings."""
