"""Maps of one image, drawn so that they can be compared: shared scales, hatching, contact sheets."""
