"""Drawn scenes: objects of everyday life in many colours before scenic backgrounds, usually at 256 pixels."""
