"""From series without labels to a calibrated detector."""
