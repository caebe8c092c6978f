"""Its revisions, in order."""
