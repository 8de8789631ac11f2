"""Ray casting: the surface that each pixel shows, its depth, point and normal."""
