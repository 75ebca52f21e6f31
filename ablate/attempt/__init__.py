"""What lives in the training process. It writes files alone: no SQL, no network."""
