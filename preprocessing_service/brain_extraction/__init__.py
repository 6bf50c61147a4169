"""Where the brain is: deepbet's networks, evaluated fast."""
