"""From the topic of the incidents to those who asked to be told, by way of one database."""
