"""The anatomy network: trained on drawings of label maps, shipped as one small weights file."""
