"""The second world: objects of everyday life at 256 pixels, in many colours, before scenic backgrounds."""
