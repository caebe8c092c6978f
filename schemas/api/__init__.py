"""What the gateway's HTTP interface takes and gives."""
