"""Building blocks of the report's figures: canvas, axes, lines, heat maps, labels."""
