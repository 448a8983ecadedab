"""Metrics: pure functions of truths and recorded judgements. No model, no torch, no picture in here."""
