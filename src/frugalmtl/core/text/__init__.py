"""Texts that the library writes."""
