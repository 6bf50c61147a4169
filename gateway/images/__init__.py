"""Pictures of what the network saw: slices, planes, activation maps."""
