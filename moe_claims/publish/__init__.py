"""Publishing results on the hub: what is sent, checked for what must not be, and one commit."""
