"""What is stored of an upload: its voxels and geometry, without the text that came along."""
