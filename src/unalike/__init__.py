"""unalike: learn by contrast what normal samples have in common; score, calibrate and explain what is unlike them."""
