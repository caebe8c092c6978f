"""Everything that crosses a process or a wire."""
