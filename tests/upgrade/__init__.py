"""The release before this one beside this one: what an upgrade, and the way back, must keep."""
