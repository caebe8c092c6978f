"""The only place that imports a Kafka client."""
