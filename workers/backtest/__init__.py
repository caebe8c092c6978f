"""Scoring recorded readings as a live run would."""
