"""Series of readings, their scale and their noise."""
