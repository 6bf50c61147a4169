"""File formats: headers, limits, which series is read, de-identification. One truth for every door."""
