"""Stand-ins for the world outside: they speak the real protocols over real sockets."""
