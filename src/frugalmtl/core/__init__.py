"""Vocabulary, registry, checks, files and seeding: what every room speaks."""
