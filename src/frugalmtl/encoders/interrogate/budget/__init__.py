"""Budgets of InterroGate: the price while gates learn, and final gates of good widths."""
