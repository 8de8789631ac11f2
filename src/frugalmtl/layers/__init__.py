"""Small reusable blocks; knows only core."""
