"""DICOM in by STOW-RS (PS3.18, 10.5): parts are read as they arrive, T1 series become jobs."""
