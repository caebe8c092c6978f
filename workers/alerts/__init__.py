"""Who is told of what, when and in which words. Pure: no clock, no network, no database."""
