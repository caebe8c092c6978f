"""HTTP: what a running pipeline says of itself, and how its workers are scaled."""
