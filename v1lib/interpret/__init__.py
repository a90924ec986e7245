"""What a recording or a fitted model says about its units."""
