"""Training and evaluation samples: packaged object art and procedural layered scenes."""
