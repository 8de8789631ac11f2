"""Efficiency of AdaMTL: shares and multiply-adds of what runs, their losses, and operating points."""
