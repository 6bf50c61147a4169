"""The same functions behind what an engineer would otherwise pick, under the same load."""
