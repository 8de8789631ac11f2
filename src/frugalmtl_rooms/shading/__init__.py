"""Light on the visible surfaces: lamps, shadows, tone curve."""
