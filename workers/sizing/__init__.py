"""How many partitions, workers, brokers a fleet of sensors needs."""
