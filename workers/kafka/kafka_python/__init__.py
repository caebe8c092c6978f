"""kafka-python behind the seam; only `workers.kafka.factory` imports it."""
