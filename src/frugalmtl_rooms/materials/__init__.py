"""Materials of walls, furniture and people, and their procedural textures."""
