"""What a partition knows between poll and commit. Pure: no clock, network, log or randomness."""
