"""What runs inside TorchServe.

The archive holds this folder and the release, nothing else of ours: it imports itself relatively, and nothing
beside it.
"""
