"""The scene benchmark: fixed layouts of packaged objects, and a judge that knows what the objects look like."""
