"""What people and programs wish for sensors: written, found again, and what was heeded of it."""
