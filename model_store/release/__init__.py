"""A release: its files, digest, card, archive for TorchServe, and their verification."""
