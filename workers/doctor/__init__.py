"""What this machine lacks, and how to fix it."""
