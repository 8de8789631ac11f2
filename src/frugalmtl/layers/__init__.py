"""Small blocks that several rooms use; they know core alone."""
