"""Builds data from images with masks: a plan of stages, run in this process or on a Ray cluster."""
