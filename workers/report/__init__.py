"""What is to be said of a model and of readings that it scored, as one page and as plain values."""
