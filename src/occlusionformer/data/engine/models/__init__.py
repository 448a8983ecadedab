"""Models that stages call: adapters of the large ones, and small ones that run anywhere."""
