"""A site's webhook endpoints and their deliveries."""
