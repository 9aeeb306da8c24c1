"""Publishing results on the hub: the files to send, checks for paths and tokens, and the upload."""
