"""From what views measure to one score, and from an alarm budget to a threshold."""
