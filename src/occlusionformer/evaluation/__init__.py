"""How good pictures are: metrics, judges, benchmarks, runs and reports."""
