"""The schema of the gateway's database, from one version to the next."""
