"""How the streams of each replication kind are read, and what their bookmarks may say."""
