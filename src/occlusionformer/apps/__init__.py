"""Programs around the library: they parse, call and show."""
