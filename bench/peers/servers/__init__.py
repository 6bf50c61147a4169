"""One file a peer: its server and its settings; bench.peers.candidates has the commands."""
