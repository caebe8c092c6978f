"""How a detector looks at the last R readings: views, and what each measures."""
