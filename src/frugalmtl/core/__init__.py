"""Vocabulary that all packages share: types, registries, schemas, checks, files and seeds."""
