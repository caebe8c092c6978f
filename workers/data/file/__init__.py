"""One file: how it is written, what each column is, and its rows."""
