"""Dead letters: reading, choosing and sending them back."""
