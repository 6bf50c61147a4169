"""The slice network and its head: data, augmentation, fine-tuning, choice of a recipe."""
