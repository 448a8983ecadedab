"""The studio: a web server with an editor for layouts, and the API behind it."""
