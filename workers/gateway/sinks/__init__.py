"""Where notifications go: one module per kind of sink, and `sender` in front of them."""
