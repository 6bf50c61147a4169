"""`make client`: the client alone as a wheel, for machines that talk to a Hippocamp and run none."""
