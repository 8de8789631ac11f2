"""Training form of AdaMTL: stages and turns, draws of masks, and passes under masks."""
