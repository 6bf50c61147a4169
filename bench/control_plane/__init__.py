"""The whole system without its stage work: what accepting, queueing, claiming and committing cost."""
