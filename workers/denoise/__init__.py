"""Files of readings without their noise, and what that changed."""
