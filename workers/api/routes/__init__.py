"""The routes of the gateway: each module has a `router`."""
