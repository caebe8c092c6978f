"""What runs: brokers, stream actors, commands."""
