"""The disk: flushing what was written, and locks between processes."""
